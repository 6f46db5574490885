"""The tables on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks.scenarios import GROWTH
from benchmarks.store import Store
from benchmarks.targets import judge
from benchmarks.view import FIGURES, growth_lines, lines, rows


def show(store: Store, console: Console) -> None:
    """Every scenario that has samples, and the targets."""
    for scenario in FIGURES:
        found = rows(store, scenario)
        if found:
            _print(console, f"({scenario.letter}) {scenario.title}", lines(scenario, found))
    growth = growth_lines(store)
    if len(growth) > 1:
        _print(console, f"({GROWTH.letter}) {GROWTH.title}", growth)
    verdicts = judge(store)
    if verdicts:
        head = ["target", "wanted", "measured", ""]
        _print(console, "targets", [head, *[verdict.line() for verdict in verdicts]])
    for sample in store.errors():
        where = f"({sample.scenario}) {sample.contender}, round {sample.round}"
        console.print(f"failed: {where}: {sample.error}", style="red", markup=False)


def _print(console: Console, title: str, found: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(found[0]):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for line in found[1:]:
        table.add_row(*line)
    console.print(table)
