"""What is over is freed at once: nothing that each task or request makes is left to the collector,
which would stop everything else while it finds it."""

import gc
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from api.body import StrictRequest
from infra.envelope import TaskMessage
from infra.state.models import Yours
from workers.journal import Journal

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Run:
    """Whoever is told of a lost lease, and keeps the journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        journal.on_lost = self.lose

    def lose(self) -> None:
        raise AssertionError("it was not lost")


async def test_an_attempt_whose_journal_is_closed() -> None:
    state: Any = None
    journal = Journal(
        state,
        "queue",
        TaskMessage("id", "type", ("step",), {}, NOW),
        Yours("token", 1, 0, 0, NOW, taken_over=False),
        "worker",
        current=_current,
    )
    run = Run(journal)
    gone = weakref.ref(run)
    await journal.close()
    del run, journal
    assert gone() is None


async def _current() -> bool:
    return True


async def test_a_request_that_was_read() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    request = StrictRequest({"type": "http", "headers": []}, receive, limit=10)
    assert await request.json() == {}
    gone = weakref.ref(request)
    del request
    assert gone() is None
