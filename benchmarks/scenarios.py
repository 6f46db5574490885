"""What is measured, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of measurement."""

    letter: str
    title: str
    kind: str
    """Of the tasks: tiny, chain, io, large."""
    count: int
    quick_count: int
    setup: str = "throughput"
    rounds: int | None = None
    """How often, where it is not as often as asked."""

    def size(self, *, quick: bool) -> int:
        return self.quick_count if quick else self.count


BURST = Scenario("a", "tiny tasks, finished", "tiny", 5_000, 500)
LATENCY = Scenario("b", "unloaded latency", "tiny", 200, 30, setup="single")
CHAIN = Scenario("c", "chains of five steps", "chain", 1_000, 50)
IO = Scenario("d", "100 ms of waiting, 500 at once on one worker", "io", 5_000, 1_000, setup="io")
HTTP = Scenario("e", "submissions over HTTP", "tiny", 4_000, 400)
BULK = Scenario("f", "10,000 tasks in bulk", "tiny", 10_000, 1_000)
LARGE = Scenario("g", "payloads of 1 MB", "large", 50, 5)
BACKLOG = Scenario("h", "draining a backlog", "tiny", 100_000, 1_000, rounds=1)
GROWTH = Scenario("i", "cost as history and workers grow", "tiny", 2_000, 200, "single")
SUSTAINED = Scenario("j", "rate held with history at a constant lag", "tiny", 0, 0, rounds=1)

SCENARIOS = {
    item.letter: item
    for item in (BURST, LATENCY, CHAIN, IO, HTTP, BULK, LARGE, BACKLOG, GROWTH, SUSTAINED)
}
IN_ROUNDS = (BURST, LATENCY, CHAIN, IO, HTTP, BULK, LARGE)
"""Measured on every contender in turn, round after round."""

PEERS_BACKLOG = 10_000
"""Tasks of a peer's backlog, where 100,000 would take most of an hour for all of them."""

HTTP_CONNECTIONS = 64
ROWS = (1_000, 10_000, 100_000, 1_000_000)
QUICK_ROWS = (1_000, 10_000)
WORKERS = (1, 2, 4)
PACE_SECONDS = 8.0
PACE_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the rate at which a burst's rows were written: what is offered in turn, while history keeps
up."""
