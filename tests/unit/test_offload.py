"""Big work leaves the event loop free; small work does not pay for a thread."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from handlers.offload import by_chunks, in_thread_if_large, weighs
from tests.unit.fakes import FakeContext


@pytest.mark.parametrize(
    ("payload", "large"),
    [
        ({"a": 1}, False),
        ([{"a": 1}] * 10, False),
        ([{"a": 1}] * 300, True),
        ({"a": list(range(600))}, True),
        ({"a": {"b": [[{}] * 600]}}, True),
        ({"a": "x" * 200_000}, True),
        ("x" * 100, False),
    ],
)
async def test_only_large_payloads_go_to_a_thread(payload: Any, large: bool) -> None:
    ran_in = await in_thread_if_large(threading.current_thread, payload)

    assert (ran_in is not threading.main_thread()) is large
    assert weighs(payload, 500) is large


async def test_work_that_would_first_load_a_library_goes_to_a_thread() -> None:
    loaded = await in_thread_if_large(threading.current_thread, {}, libraries=["json"])
    unloaded = await in_thread_if_large(threading.current_thread, {}, libraries=["not_yet_here"])

    assert loaded is threading.main_thread()
    assert unloaded is not threading.main_thread()


async def test_the_loop_goes_on_while_large_work_runs() -> None:
    loop_ran = threading.Event()
    payload = list(range(1_000))

    async def beside() -> None:
        loop_ran.set()

    async with asyncio.TaskGroup() as group:
        # The work ends only once the loop has run something else meanwhile.
        work = group.create_task(in_thread_if_large(lambda: loop_ran.wait(10), payload))
        group.create_task(beside())

    assert work.result() is True


async def test_an_error_comes_out_of_the_thread() -> None:
    def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await in_thread_if_large(fail, list(range(1_000)))


async def test_chunks_come_in_order_with_the_index_of_their_first() -> None:
    ctx = FakeContext()

    parts = await by_chunks(ctx, list(range(5)), lambda part, start: (start, part), chunk=2)

    assert parts == [(0, [0, 1]), (2, [2, 3]), (4, [4])]
    assert ctx.progressed == []


@pytest.mark.parametrize("chunk", [100, 300, 1_000])
async def test_long_lists_report_progress_about_every_thousand_records(chunk: int) -> None:
    ctx = FakeContext()

    await by_chunks(ctx, [0] * 2_500, lambda part, start: None, chunk=chunk)

    assert len(ctx.progressed) == 3
    assert ctx.progressed[-1] == (2_500, 2_500, "2500 of 2500 records")
    assert {call.total for call in ctx.progressed} == {2_500}


async def test_a_list_is_large_as_a_whole_not_by_its_chunks() -> None:
    ran_in = await by_chunks(
        FakeContext(), [0] * 600, lambda part, start: threading.current_thread(), chunk=100
    )

    assert threading.main_thread() not in ran_in


async def test_a_single_object_is_one_chunk_without_progress() -> None:
    ctx = FakeContext()

    assert await by_chunks(ctx, {"a": 1}, lambda part, start: (start, part)) == [(0, [{"a": 1}])]
    assert ctx.progressed == []
