"""`./task bench:quick`: Stepline's rate of tiny tasks as a share of the raw pipe's, measured in the
same minute, beside the share that is kept in guard.json. So it means the same on any machine.

It reports; it fails only if nothing could be measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.contenders import BY_NAME
from benchmarks.deployment import deployed
from benchmarks.measure import burst
from benchmarks.scenarios import BURST
from benchmarks.stand import services
from benchmarks.stats import Spread, digits
from benchmarks.store import commit
from benchmarks.view import QUIET

KEPT = Path(__file__).parent / "guard.json"
ROUNDS = 5
STEPLINE_TASKS = 1_500
RAW_MESSAGES = 4_000


@dataclass(frozen=True, slots=True)
class Kept:
    """The share to compare with, and how far below it is still called the same."""

    ratio: float | None
    """None until it has been measured on a quiet machine."""
    tolerance: float
    commit: str

    def judge(self, ratio: float) -> str:
        if self.ratio is None:
            return (
                "none is kept yet: ./task bench:quick -- --store on a quiet machine keeps this one"
            )
        change = ratio / self.ratio - 1
        if change < -self.tolerance:
            return f"SLOWER by {-change:.0%}"
        if change > self.tolerance:
            return f"faster by {change:.0%}: ./task bench:quick -- --store keeps it"
        return f"as before ({change:+.0%}, {self.tolerance:.0%} is noise)"


def kept(path: Path = KEPT) -> Kept:
    return Kept(**json.loads(path.read_text()))


def guard(console: Console, folder: Path, *, store: bool) -> int:
    """Raises `ContenderFailed` if there is nothing to tell."""
    ours, raw = BY_NAME["stepline"], BY_NAME["raw_pipe"]
    with (
        services() as stand,
        deployed(raw, raw.setups[0], stand, folder) as pipe,
        deployed(ours, ours.setups[0], stand, folder) as stepline,
    ):
        # the other one idles meanwhile, and is not foreign
        sessions = pipe.sessions | stepline.sessions
        pipe.sessions = stepline.sessions = sessions
        rates: dict[str, list[float]] = {"stepline": [], "raw_pipe": []}
        foreign = []
        for _ in range(ROUNDS):
            for deployment, count in ((pipe, RAW_MESSAGES), (stepline, STEPLINE_TASKS)):
                values, usage = burst(deployment, BURST, count)
                rates[deployment.contender.name].append(values["finished"])
                foreign.append(usage.foreign)
    found = {name: Spread.of(values) for name, values in rates.items()}
    ratio = found["stepline"].median / found["raw_pipe"].median
    for name, spread in found.items():
        console.print(
            f"{BY_NAME[name].title}: {digits(spread.median)} finished/s "
            f"({digits(spread.low)} to {digits(spread.high)})"
        )
    before, others = kept(), max(foreign)
    known = "none" if before.ratio is None else f"{before.ratio:.3f}"
    console.print(f"ratio {ratio:.3f}, kept {known}: {before.judge(ratio)}")
    if others > QUIET:
        console.print(
            f"other processes used up to {others:.0%} of the machine meanwhile: this says little",
            style="yellow",
        )
    elif store:
        new = {"ratio": round(ratio, 3), "tolerance": before.tolerance, "commit": commit()}
        KEPT.write_text(json.dumps(new) + "\n")
    return 0
