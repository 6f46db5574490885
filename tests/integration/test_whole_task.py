"""The whole task in one answer, live and from history: the same story."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from stepline.authoring import Context, handler
from stepline.contract import Attempt, Status, Waiting

from api.task_detail import detail
from infra.state.store import events_key, steps_key, task_key
from tests.stack import EngineStack, a_type
from tests.waiting import wait_for

MakeStack = Callable[..., Awaitable[EngineStack]]


@handler
async def measure(ctx: Context) -> dict[str, Any]:
    await ctx.log("measuring", place="here")
    return {"attempt": ctx.attempt}


@handler
async def stumble(ctx: Context) -> str:
    if ctx.attempt == 1:
        raise ValueError("redis://:hidden-word@host is no address")
    return "up again"


async def both_recorded(stack: EngineStack, task_id: str) -> bool:
    return len(await stack.resources.history.attempts(task_id)) == 2


async def test_it_tells_the_same_from_history_as_live(stack_of: MakeStack) -> None:
    stack = await stack_of(a_type("walk", measure, stumble))
    await stack.worker()
    task_id = await stack.submit("walk", task_name="a walk", far=True)
    record = await stack.recorded(task_id)
    await wait_for(lambda: both_recorded(stack, task_id))
    live = await detail(stack.resources, await stack.state(task_id))

    await stack.resources.state.scripts.command(
        "DEL", task_key(task_id), events_key(task_id), steps_key(task_id)
    )
    kept = await detail(stack.resources, record)

    assert (live.status, live.result, live.waiting) == (Status.SUCCESS, "up again", None)
    assert live.payload == {"task_name": "a walk", "far": True}
    assert live.recorded
    first, second = live.attempts
    assert [step.handler for step in first.steps] == ["measure", "stumble"]
    assert first.steps[0].output == {"attempt": 1}
    assert first.outcome == "retrying"
    assert first.error is not None
    assert "in stumble" in first.error.details["traceback"]
    assert "hidden-word" not in live.model_dump_json()
    assert (second.outcome, [step.handler for step in second.steps]) == ("succeeded", ["stumble"])
    assert [(line.message, line.data) for line in live.logs] == [("measuring", {"place": "here"})]
    assert [told(attempt) for attempt in kept.attempts] == [
        told(attempt) for attempt in live.attempts
    ]
    inexact = {"updated_at", "attempts"}
    assert kept.model_dump(exclude=inexact) == live.model_dump(exclude=inexact)


def told(attempt: Attempt) -> dict[str, Any]:
    """All but the moment of its start, which the worker and Redis each took for themselves."""
    return attempt.model_dump(exclude={"started_at": True, "events": {0: {"at"}}})


async def waiting(stack: EngineStack, task_id: str) -> Waiting:
    found = (await detail(stack.resources, await stack.state(task_id))).waiting
    assert found is not None
    return found


async def test_it_says_that_no_worker_takes_from_its_queue(stack_of: MakeStack) -> None:
    stack = await stack_of(a_type("walk", measure), worker_queues=("history",))
    await stack.worker()  # it records, and runs nothing

    task_id = await stack.submit("walk")

    found = await waiting(stack, task_id)
    assert (found.reason, found.until) == ("no_worker", None)
    assert found.since == (await stack.state(task_id)).created_at


async def test_it_says_how_many_are_ahead_or_until_when_it_waits(stack_of: MakeStack) -> None:
    go_on = asyncio.Event()

    @handler
    async def block(ctx: Context) -> None:
        await go_on.wait()

    stack = await stack_of(a_type("block", block), worker_concurrency=1)
    await stack.worker()
    first = await stack.submit("block")
    await wait_for(lambda: has_begun(stack, first))
    second, third = await stack.submit("block"), await stack.submit("block")
    later = await stack.submit("block", delay=3600)

    async def two_ahead() -> bool:
        """History may be a moment behind, and learns late that the first one runs."""
        return [(await waiting(stack, each)).ahead for each in (second, third)] == [0, 1]

    await wait_for(two_ahead)
    assert (await waiting(stack, third)).reason == "queued"
    deferred = await waiting(stack, later)
    assert (deferred.reason, deferred.ahead) == ("scheduled", None)
    assert deferred.until is not None
    assert deferred.until - deferred.since == timedelta(hours=1)
    go_on.set()
    for task_id in (first, second, third):
        assert (await stack.ended(task_id)).status is Status.SUCCESS
    assert (await detail(stack.resources, await stack.state(third))).waiting is None


async def has_begun(stack: EngineStack, task_id: str) -> bool:
    return "step.started" in await stack.kinds(task_id)
