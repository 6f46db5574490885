"""docs/performance.md, its JSON and its plots: all of them made from the measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.plots import bars, curve
from benchmarks.scenarios import (
    BACKLOG,
    BURST,
    CHAIN,
    GROWTH,
    HTTP,
    IO,
    LARGE,
    LATENCY,
    Scenario,
)
from benchmarks.stats import Spread
from benchmarks.store import Store
from benchmarks.targets import judge
from benchmarks.view import (
    FIGURES,
    QUIET,
    Row,
    busy,
    growth,
    growth_lines,
    lines,
    losses,
    rows,
)

NOTES = Path(__file__).parent / "notes.md"
ABOUT = Path(__file__).parent / "about.md"
PLOTTED = {
    BURST: "tiny tasks finished per second",
    LATENCY: "unloaded, submit to result: p50 in ms (less is better)",
    CHAIN: "chains of five steps per second",
    IO: "tasks of 100 ms, 500 at once: finished per second (ceiling 5,000)",
    HTTP: "submissions over HTTP accepted per second",
    LARGE: "payloads of 1 MB finished per second",
    BACKLOG: "backlog drained per second",
}

NOTHING = "Nothing has been measured yet."


def write_page(store: Store, docs: Path) -> list[Path]:
    """The files that were written."""
    plots = docs / "performance"
    plots.mkdir(parents=True, exist_ok=True)
    drawn = dict(_plots(store))
    for name, svg in drawn.items():
        (plots / f"{name}.svg").write_text(svg)
    for stale in plots.glob("*.svg"):
        if stale.stem not in drawn:
            stale.unlink()
    (docs / "performance.json").write_text(store.as_json())
    (docs / "performance.md").write_text(page(store, set(drawn)))
    return [docs / "performance.md", docs / "performance.json"]


def page(store: Store, plots: set[str]) -> str:
    """The Markdown text."""
    sections = [
        ABOUT.read_text().strip(),
        _where(store),
        "## Targets\n\n" + _targets(store),
        *[_section(store, scenario, plots) for scenario in FIGURES if rows(store, scenario)],
        *_growth_section(store, plots),
        "## What holds while these figures are taken\n\n" + _promises(),
        *_failures(store),
        "## Where Stepline loses\n\n" + _losses(store),
        NOTES.read_text().strip(),
    ]
    return "\n\n".join(sections) + "\n"


def markdown(found: Sequence[Sequence[str]]) -> str:
    """A table; the first line is its heading."""
    head, *body = found
    rule = ["---", *["---:" for _ in head[1:]]]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))


def _where(store: Store) -> str:
    machine = store.machine
    services = ", ".join(
        f"{name} {version}" for name, version in store.versions.get("services", {}).items()
    )
    versions = [
        f"- {title}: " + ", ".join(f"{name} {version}" for name, version in found.items())
        for title, found in (
            (contender.title, store.versions.get(contender.name, {})) for contender in CONTENDERS
        )
        if found
    ]
    days = sorted({sample.at[:10] for sample in store.samples if sample.at})
    if not store.samples:
        return f"## The machine, and the versions\n\n{NOTHING}"
    when = " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))
    return "\n".join(
        [
            "## The machine, and the versions",
            "",
            f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB, "
            f"{machine['system']}, Linux {machine['kernel']}, Python {machine['python']}. "
            f"{services}. Measured on {when}; Stepline at {', '.join(store.commits) or '–'}. "
            f"{_disturbed(store)}",
            "",
            *versions,
        ]
    )


def _targets(store: Store) -> str:
    verdicts = judge(store)
    if not verdicts:
        return NOTHING
    head = ["target", "wanted", "measured", ""]
    return markdown([head, *[verdict.line() for verdict in verdicts]])


def _section(store: Store, scenario: Scenario, plots: set[str]) -> str:
    found = rows(store, scenario)
    name = _file(scenario)
    parts = [f"## ({scenario.letter}) {scenario.title[0].upper()}{scenario.title[1:]}"]
    if name in plots:
        parts.append(f"![{PLOTTED[scenario]}](performance/{name}.svg)")
    parts.append(markdown(lines(scenario, found)))
    parts.append(_sizes(store, scenario, found))
    return "\n\n".join(parts)


def _sizes(store: Store, scenario: Scenario, found: Sequence[Row]) -> str:
    by_count: dict[int, list[str]] = {}
    for row in found:
        by_count.setdefault(row.count, []).append(row.contender.title)
    samples = {len(store.of(scenario.letter, row.contender.name)) for row in found}
    runs = "one sample each" if samples == {1} else f"medians of {_range(samples)}"
    if len(by_count) == 1:
        return f"{next(iter(by_count)):,} tasks a sample, {runs}."
    parts = [f"{count:,} for {', '.join(titles)}" for count, titles in by_count.items()]
    return f"Tasks a sample: {'; '.join(parts)}; {runs}."


def _range(numbers: set[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _growth_section(store: Store, plots: set[str]) -> Iterator[str]:
    if growth(store):
        parts = [f"## ({GROWTH.letter}) {GROWTH.title[0].upper()}{GROWTH.title[1:]}"]
        if "growth" in plots:
            parts.append("![CPU per task over the rows in history](performance/growth.svg)")
        parts.append(markdown(growth_lines(store)))
        yield "\n\n".join(parts)


def _promises() -> str:
    head = ["", "submitted by", "confirmed", "result", "history", "worker killed", "events"]
    body = [
        [
            contender.title,
            contender.submits,
            contender.promises.confirmed,
            contender.promises.result,
            contender.promises.history,
            contender.promises.crash,
            contender.promises.events,
        ]
        for contender in CONTENDERS
    ]
    return markdown([head, *body]).replace("---:", "---")


def _losses(store: Store) -> str:
    if not store.samples:
        return NOTHING
    found = losses(store)
    return "\n".join(f"- {line}" for line in found) if found else "Nowhere in what was measured."


def _disturbed(store: Store) -> str:
    disturbed = len(busy(store))
    if not disturbed:
        return "Nothing else to speak of ran meanwhile."
    return (
        f"**During {disturbed} of {len(store.samples)} samples other processes used more than "
        f"{QUIET:.0%} of the machine: these figures are of a busy machine.**"
    )


def _failures(store: Store) -> Iterator[str]:
    failed = [
        f"- ({sample.scenario}) {sample.contender} {sample.variant}, round {sample.round}: "
        f"{sample.error.splitlines()[0]}"
        for sample in store.errors()
    ]
    if failed:
        yield "## What failed\n\n" + "\n".join(failed)


def _file(scenario: Scenario) -> str:
    return f"{scenario.letter}-{FIGURES[scenario][0].key.replace('_', '-')}"


def _plots(store: Store) -> Iterator[tuple[str, str]]:
    for scenario, title in PLOTTED.items():
        values = [
            (row.contender.title, row.cells[0], row.contender.is_ours)
            for row in rows(store, scenario)
        ]
        known = [(label, value, ours) for label, value, ours in values if value is not None]
        if known:
            yield _file(scenario), bars(title, known)
    points = {
        int(variant.partition("=")[2]): Spread.of([sample.cpu_per_task for sample in samples])
        for variant, samples in growth(store).items()
        if variant.startswith("rows=")
    }
    if len(points) > 1:
        yield "growth", curve("CPU ms per task over the rows in history", points, "ms")
