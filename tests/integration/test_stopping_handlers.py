"""Handlers that are stopped, and long ones that must not be: on both kinds of services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from stepline.authoring import Context, handler
from stepline.contract import Status
from stepline.errors import Retry

from infra.actions.cancel import cancel
from infra.cancellation import Cancellation
from tests.stack import EngineStack, a_type
from tests.waiting import wait_for

StackOf = Callable[..., Any]
ORDER = Cancellation(by="ops", at="2026-01-01T00:00:00.000000Z")


async def until_running(stack: EngineStack, task_id: str) -> None:
    await wait_for(lambda: _has_begun(stack, task_id))


async def _has_begun(stack: EngineStack, task_id: str) -> bool:
    return "step.started" in await stack.kinds(task_id)


async def test_a_handler_gets_its_cancelled_error_and_cleans_up(stack_of: StackOf) -> None:
    cleaned: list[str] = []
    ran: list[str] = []

    @handler
    async def endless(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cleaned.append(ctx.task_id)
            raise

    @handler
    async def after(ctx: Context) -> None:
        ran.append(ctx.task_id)

    stack = await stack_of(a_type("endless", endless, after))
    await stack.worker()
    task_id = await stack.submit("endless")
    await until_running(stack, task_id)

    assert await cancel(stack.resources, task_id, ORDER) is Status.RUNNING

    record = await stack.recorded(task_id)
    assert record.status is Status.CANCELLED
    assert record.error == ORDER.error("endless")
    assert (cleaned, ran) == ([task_id], [])
    assert (await stack.kinds(task_id))[-1] == "cancelled"
    await wait_for(lambda: _forgotten(stack))


async def test_a_surprise_does_not_end_the_look_at_what_is_called_off(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("what nobody has foreseen"), ValueError("nor this")]

    @handler
    async def endless(_ctx: Context) -> None:
        await asyncio.Event().wait()

    stack = await stack_of(a_type("endless", endless))
    report = stack.resources.workers.report

    async def surprised(*args: Any) -> None:
        if failures:
            raise failures.pop()
        await report(*args)

    monkeypatch.setattr(stack.resources.workers, "report", surprised)
    await stack.worker()
    task_id = await stack.submit("endless")
    await until_running(stack, task_id)
    await wait_for(lambda: not failures)

    assert await cancel(stack.resources, task_id, ORDER) is Status.RUNNING

    assert (await stack.recorded(task_id)).status is Status.CANCELLED


async def _forgotten(stack: EngineStack) -> bool:
    return await stack.resources.state.called_off() == []


@pytest.mark.parametrize("ending", ["returns", "raises"])
async def test_a_handler_that_will_not_stop_is_cancelled_all_the_same(
    stack_of: StackOf, ending: str
) -> None:
    ran: list[str] = []

    @handler
    async def stubborn(ctx: Context) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if ending == "raises":
                raise RuntimeError("in its clean-up") from None
        return "anyhow"

    @handler
    async def after(ctx: Context) -> None:
        ran.append(ctx.task_id)

    stack = await stack_of(a_type("stubborn", stubborn, after))
    await stack.worker()
    task_id = await stack.submit("stubborn")
    await until_running(stack, task_id)

    await cancel(stack.resources, task_id, ORDER)

    assert (await stack.ended(task_id)).status is Status.CANCELLED
    assert ran == []


async def test_a_task_in_a_thread_is_cancelled_though_its_thread_is_not(
    stack_of: StackOf,
) -> None:
    let_go = False

    @handler
    def blocking(ctx: Any) -> str:
        while not let_go:
            time.sleep(0.01)
        ctx.progress(1, 1)  # nobody listens any more
        return "late"

    stack = await stack_of(a_type("blocking", blocking))
    await stack.worker()
    task_id = await stack.submit("blocking")
    await until_running(stack, task_id)

    await cancel(stack.resources, task_id, ORDER)
    ended = await stack.ended(task_id)
    let_go = True

    assert (ended.status, ended.result) == (Status.CANCELLED, None)


async def test_a_waiting_task_that_is_cancelled_never_starts(stack_of: StackOf) -> None:
    ran: list[str] = []

    @handler
    async def work(ctx: Context) -> None:
        ran.append(ctx.task_id)

    stack = await stack_of(a_type("work", work), worker_queues=("history",))
    await stack.worker()
    first, second = [await stack.submit("work") for _ in range(2)]

    assert await cancel(stack.resources, first, ORDER) is Status.CANCELLED
    assert (await stack.recorded(first)).status is Status.CANCELLED, "before any worker sees it"

    other = stack.settings.model_copy(update={"worker_queues": ("quick_tasks",)})
    await stack.worker(other)
    await stack.ended(second)
    depth = stack.resources.broker.depth
    await wait_for(lambda: _empty(depth))
    assert ran == [second]


async def _empty(depth: Any) -> bool:
    return bool(await depth("quick_tasks") == 0)


async def test_a_cancellation_between_two_attempts_ends_the_task(stack_of: StackOf) -> None:
    runs: list[int] = []

    @handler
    async def again(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Retry("later", delay=60)

    stack = await stack_of(a_type("again", again))
    await stack.worker()
    task_id = await stack.submit("again")
    await wait_for(lambda: _is(stack, task_id, Status.RETRYING))

    assert await cancel(stack.resources, task_id, ORDER) is Status.CANCELLED

    assert (await stack.recorded(task_id)).status is Status.CANCELLED
    assert runs == [1]


async def _is(stack: EngineStack, task_id: str, status: Status) -> bool:
    return (await stack.state(task_id)).status is status


async def test_a_long_task_s_message_is_renewed_while_it_runs(stack_of: StackOf) -> None:
    runs: list[int] = []
    finish = asyncio.Event()

    @handler
    async def long_one(ctx: Context) -> str:
        runs.append(ctx.attempt)
        await finish.wait()
        return "done"

    stack = await stack_of(a_type("long_one", long_one), consumer_timeout=1.5, worker_concurrency=1)
    worker = await stack.worker()
    task_id = await stack.submit("long_one")
    await until_running(stack, task_id)
    held = worker.runtime.processor.holding.tasks[task_id]

    seen = {id(held.deliveries[0]): held.deliveries[0]}
    for renewals in (2, 3):

        def renewed(renewals: int = renewals) -> bool:
            seen.update((id(item), item) for item in held.deliveries)
            return len(seen) >= renewals and len(held.deliveries) == 1

        await wait_for(renewed, 15)
    finish.set()

    ended = await stack.ended(task_id)
    assert (ended.status, ended.attempt, runs) == (Status.SUCCESS, 1, [1])
    await wait_for(lambda: _empty(stack.resources.broker.depth))


async def test_a_task_that_another_has_taken_stops_here_quietly(stack_of: StackOf) -> None:
    stopped: list[str] = []

    @handler
    async def robbed(ctx: Context) -> None:
        try:
            while True:
                await ctx.progress(1)
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            stopped.append(ctx.task_id)
            raise

    stack = await stack_of(a_type("robbed", robbed))
    await stack.worker()
    task_id = await stack.submit("robbed")
    await until_running(stack, task_id)
    state = stack.resources.state
    owner = await state.scripts.command("HGET", f"stepline:{{{task_id}}}", "token")

    message = stack.draft("robbed").tasks[0]
    taken = await state.claim(
        "quick_tasks",
        replace(message, id=task_id),
        token="another",
        worker="worker@elsewhere:1",
        takeover=owner.decode(),
    )

    assert taken.attempt == 2
    await wait_for(lambda: stopped == [task_id])
    assert (await stack.state(task_id)).holder == "worker@elsewhere:1"
