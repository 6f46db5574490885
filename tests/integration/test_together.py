"""Short tasks that are submitted together travel together, and stay tasks of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from stepline.authoring import Context, handler
from stepline.contract import Status
from stepline.errors import Reject

from infra.broker.base import Message, PublishUnconfirmed
from infra.envelope import Envelope, TaskMessage, read_envelope
from tests.stack import Anything, EngineStack, a_type
from tests.waiting import wait_for

StackOf = Callable[..., Any]
QUEUE = "quick_tasks"


@handler
async def echo(ctx: Context, payload: Anything) -> dict[str, Any]:
    number = payload.model_dump()["n"]
    if number < 0:
        raise Reject("no negative numbers", code="negative")
    return {"n": number}


@dataclass
class Handed:
    """A delivery that a test makes, and what became of it."""

    message: Message
    count: int
    queue: str = QUEUE
    settled: list[str] = field(default_factory=list)

    async def ack(self) -> None:
        self.settled.append("ack")

    async def release(self) -> None:
        self.settled.append("release")


def spied(stack: EngineStack, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The task ids of each message that is accepted from now on."""
    messages: list[list[str]] = []
    accept = stack.resources.broker.accept

    async def spy(queue: str, message: Message) -> None:
        messages.append([task.id for task in read_envelope(message).tasks])
        await accept(queue, message)

    monkeypatch.setattr(stack.resources.broker, "accept", spy)
    return messages


async def test_short_tasks_of_one_moment_share_messages_and_nothing_else(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = await stack_of(a_type("echo", echo, short=True))
    await stack.worker()
    messages = spied(stack, monkeypatch)

    ids = await asyncio.gather(*(stack.submit("echo", n=n) for n in range(-1, 99)))

    assert sorted(task_id for message in messages for task_id in message) == sorted(ids)
    assert len(messages) < 20
    rejected = await stack.recorded(ids[0])
    assert rejected.status is Status.FAILURE
    assert rejected.error is not None
    assert rejected.error["code"] == "negative"
    for number, task_id in enumerate(ids[1:]):
        record = await stack.recorded(task_id)
        assert (record.status, record.result) == (Status.SUCCESS, {"n": number})
        assert record.payload == {"n": number}
        assert await stack.kinds(task_id) == [
            "queued",
            "started",
            "step.started",
            "step.completed",
            "succeeded",
        ]


async def test_other_tasks_travel_alone(stack_of: StackOf, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = await stack_of(a_type("echo", echo))
    await stack.worker()
    messages = spied(stack, monkeypatch)

    await asyncio.gather(*(stack.submit("echo", n=n) for n in range(20)))

    assert [len(message) for message in messages] == [1] * 20


async def test_a_publish_that_fails_is_unknown_to_each_of_its_tasks(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = await stack_of(a_type("echo", echo, short=True))

    async def fail(queue: str, message: Message) -> None:
        raise PublishUnconfirmed("no confirm")

    monkeypatch.setattr(stack.resources.broker, "accept", fail)
    answers = await asyncio.gather(
        *(stack.submit("echo", n=n) for n in range(5)), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [PublishUnconfirmed] * 5


async def chunk(stack: EngineStack, *numbers: int) -> tuple[Envelope, list[TaskMessage]]:
    """Tasks in one envelope that nobody has published yet."""
    tasks = [stack.draft("echo", n=n).tasks[0] for n in numbers]
    await stack.resources.state.submit_all(QUEUE, tasks)
    return Envelope(QUEUE, tuple(tasks)), tasks


async def test_a_message_that_came_back_is_worked_off_one_task_at_a_time(
    stack_of: StackOf,
) -> None:
    running, most = 0, 0

    @handler
    async def alone(ctx: Context, payload: Anything) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    stack = await stack_of(a_type("echo", alone, short=True))
    worker = await stack.worker()
    envelope, tasks = await chunk(stack, *range(5))
    delivery = Handed(envelope.message(), count=1)

    await worker.runtime.processor.process(delivery)

    assert (most, delivery.settled) == (1, ["ack"])
    for task in tasks:
        assert (await stack.ended(task.id)).status is Status.SUCCESS


async def test_a_message_that_came_back_twice_is_split(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = await stack_of(a_type("echo", echo, short=True))
    worker = await stack.worker()
    envelope, tasks = await chunk(stack, *range(5))
    sent: list[list[str]] = []
    send = stack.resources.broker.send

    async def spy(queue: str, message: Message, *, delay: float = 0.0) -> None:
        if message.kind == "envelope":
            sent.append([task.id for task in read_envelope(message).tasks])
        await send(queue, message, delay=delay)

    monkeypatch.setattr(stack.resources.broker, "send", spy)
    delivery = Handed(envelope.message(), count=2)
    await worker.runtime.processor.process(delivery)

    assert sent == [[task.id] for task in tasks]
    assert delivery.settled == ["ack"]
    for task in tasks:
        assert (await stack.recorded(task.id)).status is Status.SUCCESS


async def test_a_stranger_in_a_message_keeps_nobody_waiting(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("echo", echo, short=True), a_type("stranger", echo))
    strange = stack.draft("stranger", n=1).tasks[0]
    del stack.registry._types["stranger"]
    await stack.worker()
    known = [stack.draft("echo", n=n).tasks[0] for n in range(3)]

    message = Envelope(QUEUE, (strange, *known)).message()
    await stack.resources.broker.accept(QUEUE, message)

    for task in known:
        assert (await stack.ended(task.id)).status is Status.SUCCESS
    state = await stack.resources.state.get(strange.id)
    assert state is None or not state.status.ended


async def test_slow_tasks_of_a_message_leave_slots_for_others_and_run_a_bounded_number_at_once(
    stack_of: StackOf,
) -> None:
    running, most = 0, 0
    let_go = asyncio.Event()

    @handler
    async def slow(ctx: Context) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.wait_for(let_go.wait(), 20)
        running -= 1

    stack = await stack_of(
        a_type("echo", echo), a_type("slow", slow, short=True), worker_concurrency=2
    )
    await stack.worker()
    tasks = tuple(stack.draft("slow").tasks[0] for _ in range(100))
    await stack.resources.broker.accept(QUEUE, Envelope(QUEUE, tasks).message())
    await wait_for(lambda: running >= 64)

    other = await stack.submit("echo", n=1)

    assert (await stack.ended(other)).status is Status.SUCCESS
    assert running == 64
    let_go.set()
    for task in tasks:
        assert (await stack.ended(task.id)).status is Status.SUCCESS
    assert most == 64
