"""Going on where another left off: after a deploy, and after Redis has forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepline.authoring import Context, handler
from stepline.contract import Status
from stepline.errors import Reject

from handlers.registry import Registry
from infra.actions.retry import draft_retry
from infra.broker.topology import HISTORY_QUEUE
from infra.state.models import Yours
from infra.state.store import checkpoint_field
from tests.stack import EngineStack, a_type
from workers.app import Worker

StackOf = Callable[..., Any]


@handler
async def one(ctx: Context) -> int:
    return 1


@handler
async def two(ctx: Context) -> int:
    return ctx.outputs["one"] + 1


@handler
async def between(ctx: Context) -> int:
    raise AssertionError("this chain was accepted before the step was thought of")


async def test_a_chain_goes_on_as_it_was_accepted_whatever_the_code_has_become(
    stack_of: StackOf,
) -> None:
    stack = await stack_of(a_type("grown", one, two))
    envelope = stack.draft("grown")
    (task,) = envelope.tasks
    await stack.resources.state.submit(envelope.queue, task)
    dead = await stack.resources.state.claim(envelope.queue, task, token="t", worker="gone")
    assert isinstance(dead, Yours)
    step = {checkpoint_field(0, "one"): b"41"}
    await stack.resources.state.write(task.id, "t", steps=step)
    await stack.resources.broker.send(HISTORY_QUEUE, envelope.message())
    await stack.resources.broker.send(envelope.queue, envelope.message())

    stack.registry = Registry([a_type("grown", one, between, two)])
    await stack.worker()

    ended = await stack.ended(task.id)
    assert (ended.status, ended.result, ended.handlers) == (Status.SUCCESS, 42, ["one", "two"])


def moody(*, works: bool) -> Any:
    @handler(name="moody")
    async def run(ctx: Context) -> dict[str, Any]:
        if not works:
            raise Reject("not today", code="moody")
        return dict(ctx.outputs)

    return run


async def on(stack: EngineStack, queue: str) -> Worker:
    """A worker for that queue alone."""
    return await stack.worker(stack.settings.model_copy(update={"worker_queues": (queue,)}))


async def retried(stack: EngineStack, task_id: str, from_step: str, **payload: Any) -> str:
    """Retry it, the code having been mended meanwhile. Returns the new task's id."""
    drafted = await draft_retry(
        stack.resources,
        stack.registry,
        {},
        task_id,
        from_step=from_step,
        payload=payload or None,
    )
    await stack.submitter.submit(drafted.envelope, drafted.inherited)
    return drafted.envelope.tasks[0].id


async def test_a_retry_from_a_step_takes_its_outputs_from_history_if_redis_has_lost_them(
    stack_of: StackOf,
) -> None:
    runs: list[str] = []

    @handler
    async def counted(ctx: Context) -> int:
        runs.append(ctx.task_id)
        return 41

    broken, mended = (a_type("fragile", counted, moody(works=works)) for works in (False, True))
    stack = await stack_of(broken)
    await on(stack, HISTORY_QUEUE)
    before = await on(stack, "quick_tasks")
    task_id = await stack.submit("fragile")
    await stack.recorded(task_id)
    await before.runtime.stop()
    await stack.resources.state._client.flushdb()

    again = await retried(stack, task_id, "moody", note="another payload")
    await stack.resources.state._client.flushdb()  # and once more, before it has begun
    stack.registry = Registry([mended])
    await on(stack, "quick_tasks")

    record = await stack.recorded(again)
    assert (record.status, record.result) == (Status.SUCCESS, {"counted": 41})
    assert (record.payload, record.retry_of) == ({"note": "another payload"}, task_id)
    assert runs == [task_id], "the finished step ran again"


async def test_a_step_that_was_left_out_stays_so_in_a_retry_after_redis_has_forgotten(
    stack_of: StackOf,
) -> None:
    @handler(skip=lambda ctx: True)
    async def unwanted(ctx: Context) -> int:
        raise AssertionError("its condition leaves it out")

    broken, mended = (
        a_type("fragile", unwanted, one, moody(works=works)) for works in (False, True)
    )
    stack = await stack_of(broken)
    await on(stack, HISTORY_QUEUE)
    before = await on(stack, "quick_tasks")
    task_id = await stack.submit("fragile")
    await stack.recorded(task_id)
    await before.runtime.stop()
    await stack.resources.state._client.flushdb()

    again = await retried(stack, task_id, "moody")
    stack.registry = Registry([mended])
    await on(stack, "quick_tasks")

    record = await stack.recorded(again)
    assert (record.status, record.result) == (Status.SUCCESS, {"one": 1})
