"""What Stepline is meant to reach, judged by the same run's figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.scenarios import BULK, BURST, CHAIN, HTTP, IO, LATENCY, Scenario
from benchmarks.stats import Spread, digits
from benchmarks.store import Store
from benchmarks.view import PAGE, growth, median, spread
from infra.history.base import TOTAL_CAP

OURS = ("stepline", "stepline_bulk")
"""Both ways to submit; where a target does not say which, the better counts, and is named."""
CEILING = 5_000.0
"""500 tasks at once, of 100 ms each."""
FLAT = 0.2


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target."""

    target: str
    wanted: str
    measured: str
    met: bool

    def line(self) -> list[str]:
        return [self.target, self.wanted, self.measured, "met" if self.met else "NOT met"]


def judge(store: Store) -> list[Verdict]:
    """Of what has been measured."""
    return [*_throughput(store), *_latency(store), *_http(store), *_growth(store)]


def _best(store: Store, scenario: Scenario, key: str) -> float | None:
    found = [median(store, scenario, name, key) for name in OURS]
    return max((value for value in found if value is not None), default=None)


def at_least(target: str, wanted: float, measured: float, unit: str = "/s") -> Verdict:
    return Verdict(
        target, f"≥ {digits(wanted)}{unit}", f"{digits(measured)}{unit}", measured >= wanted
    )


def _throughput(store: Store) -> Iterator[Verdict]:
    finished = _best(store, BURST, "finished")
    for peer, title, factor in (
        ("dramatiq", "Dramatiq", 2.0),
        ("celery", "Celery", 5.0),
        ("taskiq", "TaskIQ", 5.0),
        ("raw_pipe", "the raw pipe", 1.0),
    ):
        other = median(store, BURST, peer, "finished")
        if finished is not None and other is not None:
            yield at_least(f"(a) finished: {factor:g} × {title}", factor * other, finished)
    recorded = _best(store, BURST, "recorded")
    dramatiq = median(store, BURST, "dramatiq", "finished")
    if recorded is not None and dramatiq is not None:
        yield at_least("(a) history rows: 1 × what Dramatiq finishes", dramatiq, recorded)
    for scenario, key, target, wanted in (
        (CHAIN, "finished", "(c) chains of five steps", 1_000.0),
        (IO, "finished", "(d) 95 % of the ceiling", 0.95 * CEILING),
        (BULK, "submitted", "(f) accepted and confirmed in bulk", 10_000.0),
    ):
        measured = _best(store, scenario, key)
        if measured is not None:
            yield at_least(target, wanted, measured)


def _latency(store: Store) -> Iterator[Verdict]:
    for key, target, wanted in (
        ("event_p50", "(b) to the terminal event, p50", 4.0),
        ("event_p99", "(b) to the terminal event, p99", 12.0),
    ):
        measured = median(store, LATENCY, "stepline", key)
        if measured is not None:
            yield Verdict(target, f"< {wanted:g} ms", f"{digits(measured)} ms", measured < wanted)


def _http(store: Store) -> Iterator[Verdict]:
    bare = median(store, HTTP, "bare", "accepted")
    for key, share in (("accepted", 0.45), ("finished", 0.35)):
        measured = median(store, HTTP, "stepline", key)
        if measured is not None and bare is not None:
            target = f"(e) {key} over HTTP: {share:g} × a bare endpoint"
            yield at_least(target, share * bare, measured)


def _growth(store: Store) -> Iterator[Verdict]:
    by_rows = {
        int(variant.partition("=")[2]): samples
        for variant, samples in growth(store).items()
        if variant.startswith("rows=")
    }
    costs = [Spread.of([s.cpu_per_task for s in samples]).median for samples in by_rows.values()]
    if len(costs) > 1:
        yield _flat("(i) CPU a task over all sizes of history", costs)
    # a list counts its rows up to 10,000: below that it does less
    listed = [samples for size, samples in by_rows.items() if size >= TOTAL_CAP]
    for key in sorted(
        {key for samples in listed for key in samples[0].values if key.startswith(PAGE)}
    ):
        found = [spread(samples, key) for samples in listed]
        if len(found) > 1:
            page = key.removeprefix(PAGE)
            medians = [one.median for one in found if one is not None]
            yield _flat(f"(i) list `{page}`, from 10,000 rows on", medians)


def _flat(target: str, medians: Sequence[float]) -> Verdict:
    grown = max(medians) / min(medians) - 1
    measured = f"{grown:.0%} from least to most"
    return Verdict(target, f"flat within {FLAT:.0%}", measured, grown <= FLAT)
