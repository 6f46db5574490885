"""Counts over time made into what people read: rates, shares, percentiles."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from infra.history.base import History
from infra.history.buckets import percentile
from infra.history.operations import HOUR, MINUTE, Activity

FINE_UNTIL = 6 * HOUR
"""Seconds of a window up to which counts by the minute are read."""

POINTS = 120
"""Of a series, at most."""

TIMED = ("SUCCESS", "FAILURE")


@dataclass(slots=True)
class Tally:
    """Counts by outcome, and by how long what ended took."""

    outcomes: Counter[str] = field(default_factory=Counter)
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, item: Activity) -> None:
        self.outcomes[item.outcome] += item.count
        if item.outcome in TIMED:
            self.buckets[item.bucket] += item.count

    @property
    def ended(self) -> int:
        return sum(self.outcomes[name] for name in ("SUCCESS", "FAILURE", "CANCELLED"))

    def counts(self) -> dict[str, int]:
        names = {"finished": "SUCCESS", "failed": "FAILURE", "cancelled": "CANCELLED"}
        names |= {"accepted": "accepted", "retried": "retried"}
        return {shown: self.outcomes[name] for shown, name in names.items()}

    def failure_rate(self) -> float | None:
        judged = self.outcomes["SUCCESS"] + self.outcomes["FAILURE"]
        return round(self.outcomes["FAILURE"] / judged, 6) if judged else None

    def latency(self) -> dict[str, float | None]:
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        found: dict[str, float | None] = {}
        for name, share in shares.items():
            seconds = percentile(self.buckets, share)
            found[name] = None if seconds is None else float(f"{seconds:.3g}")
        return found


def tallies(items: Iterable[Activity], key: str) -> defaultdict[Any, Tally]:
    """A tally for each value of a field of theirs."""
    found: defaultdict[Any, Tally] = defaultdict(Tally)
    for item in items:
        found[getattr(item, key)].add(item)
    return found


@dataclass(frozen=True, slots=True)
class Window:
    """A time up to now, cut into steps: epoch seconds, and seconds."""

    since: int
    until: float
    span: int
    step: int

    @classmethod
    def of(cls, seconds: int) -> Window:
        """The last `seconds`, from a full step on."""
        now = time.time()
        span = MINUTE if seconds <= FINE_UNTIL else HOUR
        step = span * max(1, math.ceil(seconds / span / POINTS))
        return cls(int(now - seconds) // step * step, now, span, step)

    @property
    def points(self) -> range:
        return range(self.since, int(self.until) + 1, self.step)


@dataclass(frozen=True, slots=True)
class Rates:
    """Tasks a second."""

    into: float = 0.0
    out: float = 0.0


async def queue_rates(history: History) -> defaultdict[str, Rates]:
    """Of each queue, over the last full minute and what there is of this one."""
    now = time.time()
    since = int(now) // MINUTE * MINUTE - MINUTE
    items = await history.activity(since, span=MINUTE, step=MINUTE)
    seconds = now - since
    found: defaultdict[str, Rates] = defaultdict(Rates)
    for queue, tally in tallies(items, "queue").items():
        into = tally.outcomes["accepted"] / seconds
        found[queue] = Rates(round(into, 3), round(tally.ended / seconds, 3))
    return found
