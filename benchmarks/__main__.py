"""`python -m benchmarks`: measure, tell, and write docs/performance.md."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from stepline.errors import SteplineError

from benchmarks.campaign import Campaign, OutOfTime, Wanted, chosen
from benchmarks.environments import ROOT
from benchmarks.guard import guard
from benchmarks.page import write_page
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.store import Store
from benchmarks.table import show

FOLDER = ROOT / "var" / "bench"
RUNS = 5
QUICK_RUNS = 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./task bench --",
        description="Stepline and its peers on the same work; goes on where it was stopped.",
        epilog="scenarios: "
        + "; ".join(f"{item.letter} {item.title}" for item in SCENARIOS.values()),
    )
    parser.add_argument("--only", metavar="a,b", help="scenarios by letter")
    parser.add_argument("--peers", metavar="NAMES", help="contenders by name, Stepline included")
    parser.add_argument("--runs", type=int, help=f"rounds (default {RUNS}; {QUICK_RUNS} if quick)")
    parser.add_argument("--minutes", type=float, help="begin nothing after so many minutes")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see it work")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured of these")
    parser.add_argument("--results", type=Path, help="the JSON file to go on with")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the page")
    parser.add_argument("--no-page", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument("--guard", action="store_true", help="what ./task bench:quick does")
    parser.add_argument("--store", action="store_true", help="with --guard: keep this ratio")
    return parser.parse_args(arguments)


def wanted_scenarios(letters: str | None) -> list[Scenario]:
    if not letters:
        return list(SCENARIOS.values())
    chosen_letters = [letter.strip() for letter in letters.split(",")]
    if unknown := [letter for letter in chosen_letters if letter not in SCENARIOS]:
        raise SteplineError(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    return [SCENARIOS[letter] for letter in chosen_letters]


def main(arguments: Sequence[str] | None = None) -> int:
    console = Console(highlight=False, soft_wrap=True)
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        if options.guard:
            return guard(console, FOLDER, store=options.store)
        return bench(console, options)
    except SteplineError as error:
        console.print(f"bench: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        console.print("\nstopped; the same command goes on where this one was")
        return 130


def bench(console: Console, options: argparse.Namespace) -> int:
    path = options.results or FOLDER / ("quick.json" if options.quick else "results.json")
    wanted = Wanted(
        wanted_scenarios(options.only),
        chosen(options.peers),
        options.runs or (QUICK_RUNS if options.quick else RUNS),
        options.quick,
    )
    store = Store.open(path, only_read=options.report)
    if options.fresh:
        store.forget({s.letter for s in wanted.scenarios}, {c.name for c in wanted.contenders})
    if not options.report:
        try:
            Campaign(wanted, store, FOLDER, console, options.minutes).run()
        except OutOfTime as error:
            console.print(str(error), style="yellow")
    show(store, console)
    console.print(f"all of it is in {path}")
    if not options.no_page and not options.quick:
        for written in write_page(store, ROOT / "docs"):
            console.print(f"written: {written.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stop what was started
    sys.exit(main())
