"""`long`: real work second by second, on time, and resumed where it was interrupted."""

from __future__ import annotations

from typing import Any

from stepline.contract import LongRequest

from handlers.long import ITEMS_PER_SECOND, LONG, Clock, hash_blocks, long, run
from tests.unit.fakes import FakeContext


class FakeTime:
    """A clock that moves when waited on, and by `late` more: the loop is never quite on time."""

    def __init__(self, late: float = 0.0, start: float = 1_000.0) -> None:
        self.at = start
        self.late = late
        self.clock = Clock(now=lambda: self.at, wait=self._wait)

    async def _wait(self, seconds: float) -> None:
        assert seconds > 0
        self.at += seconds + self.late


async def finished(duration: int, time: FakeTime, **attributes: Any) -> tuple[Any, FakeContext]:
    ctx = FakeContext(**attributes)
    return await run(ctx, duration, time.clock), ctx


async def test_the_result_counts_what_was_really_hashed() -> None:
    result, _ = await finished(3, FakeTime())
    assert result["status"] == "completed"
    assert result["processed_items"] == 3 * ITEMS_PER_SECOND
    assert result["execution_time"] == 3.0
    assert result["result_data"]["digest"] == hash_blocks("", 0, 3 * ITEMS_PER_SECOND)


async def test_each_second_is_told() -> None:
    _, ctx = await finished(4, FakeTime())
    assert [(call.current, call.total) for call in ctx.progressed] == [
        (1, 4),
        (2, 4),
        (3, 4),
        (4, 4),
    ]


async def test_lateness_does_not_add_up() -> None:
    result, _ = await finished(1_000, FakeTime(late=0.01))
    assert 1_000 <= result["execution_time"] < 1_000.02


async def test_after_a_pause_it_catches_up() -> None:
    time = FakeTime()
    time.at, began = 0.0, time.clock

    class Paused(FakeContext):
        async def save(self, state: Any) -> None:
            await super().save(state)
            if state["second"] == 2:
                time.at += 5  # the machine slept

    result = await run(Paused(), 10, began)
    assert result["execution_time"] == 10.0
    assert result["processed_items"] == 10 * ITEMS_PER_SECOND


async def test_an_interrupted_run_goes_on_at_its_second_and_ends_alike() -> None:
    whole, first = await finished(10, FakeTime())
    resumed, second = await finished(10, FakeTime(start=5.0), saved=first.saves[3], attempt=2)
    assert [call.current for call in second.progressed] == [5, 6, 7, 8, 9, 10]
    assert resumed == whole


async def test_interrupted_at_the_very_end_it_has_nothing_left_to_do() -> None:
    whole, first = await finished(3, FakeTime())
    resumed, second = await finished(3, FakeTime(), saved=first.saves[-1])
    assert resumed == whole
    assert second.saves == []


async def test_the_handler_takes_the_time_it_was_asked_to() -> None:
    result = await long(FakeContext(), LongRequest(duration=1))
    assert 1.0 <= result["execution_time"] < 5.0


def test_it_may_take_a_day_on_the_long_queue() -> None:
    assert LONG.queue == "long_tasks"
    assert min(LONG.timeout, long.timeout or 0) > 86_400
