"""Paused queues and drained workers, as the workers obey: on the embedded parts and on services."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

from stepline.authoring import Context, handler
from stepline.contract import Status

from infra.codec import now, timestamp
from infra.state.controls import Controls, Order
from infra.state.models import TaskState
from tests.stack import EngineStack, a_type
from tests.waiting import wait_for
from workers.app import Worker, running_worker
from workers.rescue import sweep

MakeStack = Callable[..., Awaitable[EngineStack]]

OBEYED_WITHIN = 2.0


def order() -> Order:
    return Order("ops", timestamp(now()))


class Gate:
    """Handlers that wait for it, and what they have done."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.begun: list[str] = []
        self.ended: list[str] = []

    async def __call__(self, ctx: Context) -> None:
        self.begun.append(ctx.task_id)
        await self.open.wait()
        self.ended.append(ctx.task_id)


async def closed(worker: Worker, queue: str) -> None:
    """Wait until the worker takes nothing from the queue; within the promised time."""
    began = time.monotonic()
    (intake,) = [item for item in worker.runtime.intakes if item.queue == queue]
    await wait_for(lambda: not intake.is_open)
    assert time.monotonic() - began < OBEYED_WITHIN


async def test_a_paused_queue_gives_back_what_has_not_begun_and_ends_what_has(
    stack_of: MakeStack,
) -> None:
    gate = Gate()
    stack = await stack_of(a_type("gated", handler(name="gate")(gate.__call__)))
    settings = stack.settings.model_copy(update={"worker_concurrency": 1, "worker_prefetch": 3})
    worker = await stack.worker(settings)
    tasks = [await stack.submit("gated") for _ in range(5)]
    await wait_for(lambda: len(gate.begun) == 1)

    await stack.resources.controls.pause("quick_tasks", order())
    await closed(worker, "quick_tasks")
    gate.open.set()
    await stack.ended(gate.begun[0])
    accepted = await stack.submit("gated")

    async def back_in_the_queue() -> bool:
        return await stack.resources.broker.depth("quick_tasks") == 5

    await wait_for(back_in_the_queue)
    assert gate.ended == gate.begun == tasks[:1]
    await stack.resources.controls.resume("quick_tasks", order())
    for task_id in (*tasks, accepted):
        assert (await stack.ended(task_id)).status is Status.SUCCESS
    assert sorted(gate.ended) == sorted([*tasks, accepted])  # each once


async def test_a_worker_that_stops_in_mid_stream_cuts_nothing_that_has_begun(
    stack_of: MakeStack,
) -> None:
    """Slots become free while the rest of its many messages goes back."""
    begun: Counter[str] = Counter()

    async def short(ctx: Context) -> None:
        begun[ctx.task_id] += 1
        await asyncio.sleep(0.02)

    stack = await stack_of(a_type("short", handler(name="short")(short)))
    settings = stack.settings.model_copy(update={"worker_concurrency": 8, "worker_prefetch": 400})
    async with running_worker(replace(stack.resources, settings=settings), stack.registry):
        tasks = await asyncio.gather(*(stack.submit("short") for _ in range(200)))
        await wait_for(lambda: len(begun) >= 20)

    assert len(begun) < len(tasks)
    await stack.worker()
    for task_id in tasks:
        assert (await stack.ended(task_id)).status is Status.SUCCESS
    assert set(begun.values()) == {1}


async def test_other_queues_go_on(stack_of: MakeStack) -> None:
    gate = Gate()
    gate.open.set()
    gated = handler(name="gate")(gate.__call__)
    stack = await stack_of(a_type("here", gated), a_type("there", gated, queue="long_tasks"))
    await stack.resources.controls.pause("quick_tasks", order())
    await stack.worker()  # one that starts later obeys too

    here, there = await stack.submit("here"), await stack.submit("there")

    assert (await stack.ended(there)).status is Status.SUCCESS
    assert (await stack.state(here)).status is Status.PENDING
    assert gate.begun == [there]
    await stack.resources.controls.resume("quick_tasks", order())
    assert (await stack.ended(here)).status is Status.SUCCESS


async def test_a_retry_that_comes_due_in_a_paused_queue_waits(stack_of: MakeStack) -> None:
    @handler
    async def stumble(ctx: Context) -> int:
        if ctx.attempt == 1:
            await controls.pause("quick_tasks", order())
            await closed(worker, "quick_tasks")
            raise ValueError("once")
        return ctx.attempt

    stack = await stack_of(a_type("stumble", stumble))
    controls: Controls = stack.resources.controls
    worker = await stack.worker()
    task_id = await stack.submit("stumble")

    async def back() -> bool:
        return await stack.resources.broker.depth("quick_tasks") == 1

    await wait_for(back)
    assert (await stack.state(task_id)).status is Status.RETRYING
    await controls.resume("quick_tasks", order())
    assert (await stack.ended(task_id)).result == 2


async def test_a_drained_worker_ends_what_it_has_and_takes_nothing_new(stack_of: MakeStack) -> None:
    gate = Gate()
    stack = await stack_of(a_type("gated", handler(name="gate")(gate.__call__)))
    worker = await stack.worker()
    first = await stack.submit("gated")
    await wait_for(lambda: gate.begun)

    await stack.resources.controls.drain(worker.name, order())
    await closed(worker, "quick_tasks")
    second = await stack.submit("gated")  # it is accepted: the recorder goes on
    gate.open.set()

    assert (await stack.ended(first)).status is Status.SUCCESS
    assert (await stack.recorded(first)).status is Status.SUCCESS
    assert gate.begun == [first]
    await stack.resources.controls.undrain(worker.name, order())
    assert (await stack.ended(second)).status is Status.SUCCESS


async def test_a_paused_queue_does_not_hold_up_the_rescue_of_others(stack_of: MakeStack) -> None:
    gate = Gate()
    gated = handler(name="gate")(gate.__call__)
    gate.open.set()
    stack = await stack_of(a_type("here", gated), a_type("there", gated, queue="long_tasks"))
    await stack.worker(stack.settings.model_copy(update={"worker_queues": ("history",)}))
    resources, queues = stack.resources, ("quick_tasks", "long_tasks")
    lost, paused = await stack.submit("there"), await stack.submit("here")
    for queue in queues:  # their messages are lost
        await drop_all(stack, queue)
    for task_id in (lost, paused):
        await wait_for(lambda task_id=task_id: resources.history.get(task_id))
    await resources.controls.pause("quick_tasks", order())
    assert await sweep(resources, queues) == 0
    await stack.worker()

    async def rescued() -> TaskState | None:
        await sweep(resources, queues)
        state = await stack.state(lost)
        return state if state.status.ended else None

    assert await wait_for(rescued)
    assert (await stack.state(paused)).status is Status.PENDING
    assert gate.begun == [lost]


async def drop_all(stack: EngineStack, queue: str) -> None:
    """Take what is in the queue, and acknowledge it unread."""
    taken: list[asyncio.Task[None]] = []
    subscription = await stack.resources.broker.consume(
        queue, lambda delivery: taken.append(asyncio.ensure_future(delivery.ack())), prefetch=10
    )
    await wait_for(lambda: taken)
    await asyncio.gather(*taken)
    await subscription.close()
