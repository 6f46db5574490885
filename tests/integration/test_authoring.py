"""What authors of handlers can declare: conditions, schedules, queues of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from stepline.authoring import Context, handler
from stepline.contract import Status
from stepline.errors import Retry

from infra.codec import now
from infra.history.base import TaskFilter
from tests.stack import a_type
from tests.waiting import wait_for
from workers import journal
from workers.journal import LOG_LINES
from workers.schedules import submit_scheduled

StackOf = Callable[..., Any]


async def test_a_condition_leaves_a_step_out_for_good(stack_of: StackOf) -> None:
    runs: list[str] = []

    @handler(skip=lambda ctx: ctx.attempt == 1)
    async def sometimes(ctx: Context) -> str:
        runs.append("sometimes")
        return "ran"

    @handler
    async def shaky(ctx: Context) -> list[str]:
        runs.append(f"shaky {ctx.attempt}")
        if ctx.attempt == 1:
            raise Retry("again")
        return sorted(ctx.outputs)

    stack = await stack_of(a_type("chosen", sometimes, shaky))
    await stack.worker()

    task_id = await stack.submit("chosen")

    ended = await stack.ended(task_id)
    assert (ended.status, ended.result) == (Status.SUCCESS, [])
    assert runs == ["shaky 1", "shaky 2"], "what was left out once stays out"
    kinds = await stack.kinds(task_id)
    assert kinds.count("step.skipped") == 1


async def test_conditions_and_steps_without_a_parameter_see_the_payload(stack_of: StackOf) -> None:
    @handler(skip=lambda ctx: not ctx.payload.gift)
    async def wrap(ctx: Context) -> str:
        return "wrapped"

    @handler
    def plain(ctx: Any) -> list[Any]:
        return [ctx.payload.number, list(ctx.outputs)]

    stack = await stack_of(a_type("order", wrap, plain))
    await stack.worker()

    ordinary = await stack.ended(await stack.submit("order", number=1, gift=False))
    gift = await stack.ended(await stack.submit("order", number=2, gift=True))

    assert (ordinary.result, gift.result) == ([1, []], [2, ["wrap"]])


async def test_output_without_end_is_refused_and_what_came_is_kept(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "OUTPUT_BYTES", 5_000)

    @handler
    async def endless(ctx: Context) -> None:
        while True:
            await ctx.emit("x" * 1_000)

    stack = await stack_of(a_type("endless", endless))
    await stack.worker()
    task_id = await stack.submit("endless")

    ended = await stack.ended(task_id)

    assert (ended.status, ended.error["code"]) == (Status.FAILURE, "output_too_large")
    assert (await stack.kinds(task_id)).count("step.output") == 5


async def test_a_condition_that_breaks_fails_its_step(stack_of: StackOf) -> None:
    @handler(skip=lambda ctx: ctx.outputs["nobody"])
    async def step(ctx: Context) -> None: ...

    stack = await stack_of(a_type("broken", step))
    await stack.worker()

    ended = await stack.ended(await stack.submit("broken"))

    assert (ended.status, ended.error["code"]) == (Status.FAILURE, "handler_error")


async def test_a_type_has_a_queue_of_its_own(stack_of: StackOf) -> None:
    @handler
    async def work(ctx: Context) -> str:
        return "done"

    stack = await stack_of(a_type("own", work, queue="imports"))
    await stack.worker()

    record = await stack.recorded(await stack.submit("own"))

    assert (record.queue, record.result) == ("imports", "done")


async def test_a_schedule_is_kept_once_however_many_look(stack_of: StackOf) -> None:
    @handler(name="tidy")
    async def tidied(ctx: Context) -> str:
        return "tidy"

    scheduled = a_type("tidy", tidied, schedule="* * * * *", schedule_payload={"n": 1})
    stack = await stack_of(scheduled)
    await stack.worker()
    assert await submit_scheduled(stack.resources, stack.registry) == 0, "it begins now"
    await stack.resources.schedules.seen_to("tidy", now() - timedelta(minutes=1))

    looks = (submit_scheduled(stack.resources, stack.registry) for _ in range(5))
    await asyncio.gather(*looks)

    async def recorded() -> Any:
        page = await stack.resources.history.list_tasks(TaskFilter(type="tidy"))
        return page.tasks if page.tasks and page.tasks[0].status.ended else None

    (task,) = await wait_for(recorded)
    assert (await stack.state(task.id)).result == "tidy"
    last = (await stack.resources.schedules.submitted())["tidy"]
    assert (last.task_id, last.at) == (task.id, task.created_at)
    assert await submit_scheduled(stack.resources, stack.registry) == 0


async def test_a_schedule_that_breaks_keeps_no_other_from_its_time(stack_of: StackOf) -> None:
    @handler
    async def work(ctx: Context) -> str:
        return "done"

    def broken(payload: Any) -> list[str]:
        raise ValueError("the author's mistake")

    types = [
        a_type("broken", work, schedule="* * * * *", plan=broken),
        a_type("sound", work, schedule="* * * * *"),
    ]
    stack = await stack_of(*types)
    await stack.worker()
    await submit_scheduled(stack.resources, stack.registry)
    for item in types:
        await stack.resources.schedules.seen_to(item.name, now() - timedelta(minutes=1))

    assert await submit_scheduled(stack.resources, stack.registry) == 1

    async def recorded() -> bool:
        page = await stack.resources.history.list_tasks(TaskFilter(type="sound"))
        return len(page.tasks) == 1

    await wait_for(recorded)


async def test_log_lines_are_bounded_and_the_last_says_so(stack_of: StackOf) -> None:
    @handler
    async def chatty(ctx: Context) -> str:
        for line in range(LOG_LINES + 200):
            await ctx.log(f"line {line}")
        return "said"

    stack = await stack_of(a_type("chatty", chatty))
    await stack.worker()
    task_id = await stack.submit("chatty")
    await stack.ended(task_id)

    lines = [event["message"] for event in await stack.events(task_id) if event["kind"] == "log"]

    assert len(lines) == LOG_LINES
    assert lines[-2:] == [f"line {LOG_LINES - 2}", "further log lines are left out"]
