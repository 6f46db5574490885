"""When a queue that nobody consumes is an illness, and when it is an order or a moment."""

from __future__ import annotations

from datetime import UTC, datetime

from api.routes.system import UNSERVED_FOR, unserved
from infra.state.controls import Order, Standing
from infra.state.liveness import WorkerRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORDER = Order(by="ops", at=NOW.isoformat())
LONG = UNSERVED_FOR + 0.1


def worker(name: str, *queues: str) -> WorkerRecord:
    return WorkerRecord(name, "host", 1, "1.0", list(queues), NOW, {})


WORKERS = [worker("a", "quick_tasks", "chain_tasks"), worker("b", "quick_tasks")]


def test_a_queue_that_a_worker_is_to_take_from_and_nobody_does() -> None:
    idle = {"chain_tasks": LONG, "quick_tasks": LONG}
    assert unserved(idle, WORKERS, Standing()) == ["chain_tasks", "quick_tasks"]


def test_for_a_moment_it_is_none() -> None:
    assert unserved({"chain_tasks": UNSERVED_FOR - 0.1}, WORKERS, Standing()) == []


def test_a_queue_that_no_worker_is_to_take_from_is_none() -> None:
    assert unserved({"email_tasks": LONG, "dead_letters": LONG}, WORKERS, Standing()) == []


def test_a_paused_queue_and_a_drained_worker_are_none() -> None:
    idle = {"chain_tasks": LONG, "quick_tasks": LONG}
    assert unserved(idle, WORKERS, Standing(paused={"chain_tasks": ORDER})) == ["quick_tasks"]
    assert unserved(idle, WORKERS, Standing(draining={"a": ORDER})) == ["quick_tasks"]
