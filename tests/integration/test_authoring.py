"""What authors of handlers can declare: conditions, schedules, queues of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from stepline.authoring import Context, handler
from stepline.contract import Status
from stepline.errors import Retry

from infra.codec import now
from infra.history.base import TaskFilter
from tests.stack import a_type
from tests.waiting import wait_for
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
    assert await submit_scheduled(stack.resources, stack.registry) == 0
