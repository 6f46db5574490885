"""What nobody has comes back; what somebody has, or what waits in a queue, is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stepline.authoring import Context, handler
from stepline.contract import Status

from infra.broker.topology import HISTORY_QUEUE
from infra.codec import now
from infra.state.models import Yours
from tests.stack import EngineStack, a_type
from tests.waiting import wait_for
from workers.rescue import republish_all, sweep

StackOf = Callable[..., Any]


@handler
async def work(ctx: Context) -> str:
    return "done"


async def lose(stack: EngineStack) -> str:
    """Accept a task whose message never reaches its work queue."""
    envelope = stack.draft("work")
    (task,) = envelope.tasks
    await stack.resources.state.submit(envelope.queue, task)
    await stack.resources.broker.send(HISTORY_QUEUE, envelope.message())
    await wait_for(lambda: stack.resources.history.get(task.id))
    return task.id


async def passed(stack: EngineStack) -> bool:
    barrier = await stack.resources.barriers.current()
    return barrier is not None and barrier.passed >= {"quick_tasks", HISTORY_QUEUE}


async def test_a_task_whose_message_is_lost_is_brought_back(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("work", work))
    await stack.worker()
    task_id = await lose(stack)

    assert await sweep(stack.resources, ["quick_tasks"]) == 0, (
        "the first round only sends a barrier"
    )
    await wait_for(lambda: passed(stack))
    assert await sweep(stack.resources, ["quick_tasks"]) == 1

    assert (await stack.ended(task_id)).status is Status.SUCCESS
    assert (await stack.recorded(task_id)).result == "done"


async def test_a_barrier_that_was_lost_itself_is_sent_again(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("work", work))
    await stack.worker()
    task_id = await lose(stack)
    await stack.resources.barriers.begin("lost", now())  # and its markers went with their queues

    assert await sweep(stack.resources, ["quick_tasks"]) == 0
    await wait_for(lambda: passed(stack))
    assert await sweep(stack.resources, ["quick_tasks"]) == 1

    assert (await stack.ended(task_id)).status is Status.SUCCESS


async def test_what_a_dead_worker_held_is_brought_back_if_its_message_is_lost(
    stack_of: StackOf,
) -> None:
    stack = await stack_of(a_type("work", work))
    await stack.worker()
    task_id = await lose(stack)
    (task,) = stack.draft("work").tasks
    mine = replace(task, id=task_id)
    claim = await stack.resources.state.claim("quick_tasks", mine, token="t", worker="dead")
    assert isinstance(claim, Yours)

    await sweep(stack.resources, ["quick_tasks"])
    await wait_for(lambda: passed(stack))
    assert await sweep(stack.resources, ["quick_tasks"]) == 1

    ended = await stack.ended(task_id)
    assert (ended.status, ended.attempt) == (Status.SUCCESS, 2)


async def test_a_waiting_backlog_is_left_alone(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("work", work), worker_queues=(HISTORY_QUEUE,))
    await stack.worker()
    waiting = [await stack.submit("work") for _ in range(20)]
    for task_id in waiting:
        await wait_for(lambda task_id=task_id: stack.resources.history.get(task_id))
    await sweep(stack.resources, ["quick_tasks"])
    await wait_for(lambda: history_passed(stack))

    rescued = await sweep(stack.resources, ["quick_tasks"])

    assert rescued == 0
    depth = stack.resources.broker.depth
    await wait_for(lambda: _is(depth("quick_tasks"), 21))  # the tasks, and the barrier after them


async def history_passed(stack: EngineStack) -> bool:
    barrier = await stack.resources.barriers.current()
    return barrier is not None and HISTORY_QUEUE in barrier.passed


async def _is(depth: Any, expected: int) -> bool:
    return bool(await depth == expected)


async def test_what_ended_without_history_hearing_of_it_is_recorded_not_run(
    stack_of: StackOf,
) -> None:
    runs = []

    @handler(name="work")
    async def counted(ctx: Context) -> str:
        runs.append(ctx.task_id)
        return "done"

    stack = await stack_of(a_type("work", counted))
    await stack.worker()
    task_id = await lose(stack)
    (task,) = (await stack.resources.history.unfinished())[:1]
    claim = await stack.resources.state.claim(
        "quick_tasks", _message(task), token="t", worker="worker@gone:1"
    )
    assert claim.token == "t"
    await stack.resources.state.settle(
        task_id,
        "t",
        events=[],
        fields={
            "status": "SUCCESS",
            "result": b'"by the dead"',
            "updated_at": "2026-01-01T00:00:00Z",
        },
    )

    await sweep(stack.resources, ["quick_tasks"])
    await wait_for(lambda: passed(stack))
    await sweep(stack.resources, ["quick_tasks"])

    assert (await stack.recorded(task_id)).result == "by the dead"
    assert runs == []


async def test_an_embedded_start_publishes_all_that_has_not_ended(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("work", work))
    worker = await stack.worker()
    lost = [await lose(stack) for _ in range(3)]
    finished = await stack.submit("work")
    await stack.recorded(finished)

    assert await republish_all(stack.resources) == 3

    for task_id in lost:
        assert (await stack.ended(task_id)).status is Status.SUCCESS
    assert worker.name


def _message(record: Any) -> Any:
    from infra.records import message_of

    return message_of(record)
