"""A coroutine under a limit of time: what it does, whether it waits or not."""

from __future__ import annotations

import asyncio

import pytest

from workers.limit import LimitExceeded, within


async def at_once() -> str:
    return "done"


async def after_a_while(*pauses: float) -> str:
    for pause in pauses:
        await asyncio.sleep(pause)
    return "done"


async def test_what_never_waits_is_just_run() -> None:
    assert await within(0.0, at_once()) == "done"


async def test_what_waits_within_its_limit_ends() -> None:
    assert await within(60, after_a_while(0, 0.01, 0)) == "done"


@pytest.mark.parametrize("pauses", [(60,), (0, 60), (0.001, 0, 60)])
async def test_what_takes_longer_is_stopped(pauses: tuple[float, ...]) -> None:
    with pytest.raises(LimitExceeded):
        await within(0.02, after_a_while(*pauses))
    await asyncio.sleep(0)  # and nothing of it is left for later


async def test_its_own_errors_are_its_own() -> None:
    async def breaks(*, wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise TimeoutError("of its own")

    for wait in (False, True):
        with pytest.raises(TimeoutError, match="of its own"):
            await within(60, breaks(wait=wait))


async def test_it_may_bear_what_is_thrown_at_its_first_await() -> None:
    async def bears() -> list[str]:
        seen = []
        for _ in range(2):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                seen.append("cancelled")
        await asyncio.sleep(0)
        return seen

    task = asyncio.create_task(within(60, bears()))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    assert await task == ["cancelled", "cancelled"]


async def test_a_cancellation_goes_through() -> None:
    cleaned = []

    async def cleans() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    task = asyncio.create_task(within(60, cleans()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]


async def test_it_runs_in_the_task_that_awaits_it() -> None:
    async def whose() -> set[asyncio.Task[object] | None]:
        seen = {asyncio.current_task()}
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return seen | {asyncio.current_task()}

    assert await within(60, whose()) == {asyncio.current_task()}
