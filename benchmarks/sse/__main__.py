"""`python -m benchmarks.sse`: measure, tell, and write docs/streaming.md from what was measured.

Results are kept in docs/streaming.json, scenario by scenario: `--only` measures some anew
and leaves the others as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from benchmarks.sse import scenarios
from benchmarks.sse.processes import ROOT, Services, running_services
from benchmarks.sse.report import machine, page, show
from benchmarks.sse.scenarios import Tell, Values
from benchmarks.sse.subjects import SUBJECTS, Subject, make
from infra.limits import raise_open_files

RESULTS = ROOT / "docs" / "streaming.json"
TRIAL = ROOT / "var" / "benchmarks" / "sse-trial.json"
PAGE = ROOT / "docs" / "streaming.md"

Scenario = Callable[[Subject, Services, Tell], Awaitable[Values]]

console = Console(stderr=True, highlight=False)


def plan(scale: float) -> dict[str, Scenario]:
    """The scenarios by name; `scale` makes all crowds smaller, to try the bench itself."""

    def people(count: int) -> int:
        return max(10, int(count * scale))

    def fan_out(tasks: int) -> Scenario:
        return lambda subject, _, tell: scenarios.fan_out(
            subject, tell, viewers=people(1000), tasks=tasks, rate=10, seconds=10
        )

    def ceiling(tasks: int) -> Scenario:
        rates = (10, 15, 20, 25, 30, 35, 40, 50, 60, 80)
        return lambda subject, _, tell: scenarios.ceiling(
            subject, tell, viewers=people(1000), tasks=tasks, rates=rates
        )

    return {
        "idle": partial(scenarios.idle, viewers=people(10_000)),
        "one task": fan_out(1),
        "ten tasks": fan_out(10),
        "hundred tasks": fan_out(100),
        "ceiling": ceiling(10),
        "ceiling of one task": ceiling(1),
        "stalled": lambda subject, _, tell: scenarios.stalled(
            subject, tell, viewers=people(500), stalling=people(100), seconds=50
        ),
        "restart": lambda subject, _, tell: scenarios.restart(subject, tell, viewers=people(2000)),
    }


async def measure(
    services: Services, names: list[str], keys: list[str], scale: float, path: Path
) -> None:
    """Run them, each on a server of its own; what has come out so far is on disk."""
    planned, results = plan(scale), load(path)
    results |= {"machine": machine(), "services": {"redis": services.redis.version()}}
    for name in names:
        for key in keys:
            began, others = time.monotonic(), os.getloadavg()[0]
            subject = make(key, services)
            tell = partial(console.print, f"[bold]{name}[/] {subject.label}:")
            try:
                await subject.server.start()
                values = await planned[name](subject, services, tell)
            except Exception as error:  # one that falls over is a result too
                values = {"error": f"{type(error).__name__}: {error}"[:300]}
                tell(values["error"])
            finally:
                await subject.close()
            values["seconds"] = round(time.monotonic() - began, 1)
            values["load_before"] = round(others, 1)
            results.setdefault(name, {})[key] = values
            save(path, results)


def save(path: Path, results: Values) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def load(path: Path) -> Values:
    return json.loads(path.read_text()) if path.exists() else {}


def arguments() -> Any:
    parser = argparse.ArgumentParser(prog="./task bench:sse --", description=__doc__)
    parser.add_argument("--only", choices=list(plan(1)), action="append", help="a scenario")
    parser.add_argument("--subject", choices=list(SUBJECTS), action="append")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the viewers")
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    raise_open_files()
    path = RESULTS if asked.scale == 1.0 else TRIAL
    if not asked.report:
        with running_services() as services:
            names, keys = asked.only or list(plan(1)), asked.subject or list(SUBJECTS)
            uvloop.run(measure(services, names, keys, asked.scale, path))
    results = load(path)
    show(Console(), results)
    if path == RESULTS:
        PAGE.write_text(page(results))
        console.print(f"wrote {PAGE.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
