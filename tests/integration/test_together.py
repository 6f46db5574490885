"""Short tasks that are submitted together travel together, and stay tasks of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from stepline.authoring import Context, handler
from stepline.contract import Status
from stepline.errors import Reject

from infra.actions.cancel import cancel
from infra.broker.base import Message, PublishUnconfirmed
from infra.cancellation import Cancellation
from infra.envelope import Envelope, TaskMessage, read_envelope
from tests.stack import Anything, EngineStack, a_type
from tests.waiting import wait_for
from workers.app import Worker
from workers.chunk import SPILL_AFTER
from workers.places import Places

StackOf = Callable[..., Any]
WorkerOf = Callable[[EngineStack], Awaitable[Worker]]
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


@pytest.fixture(params=["in turn", "side by side"])
def worker_of(request: pytest.FixtureRequest) -> WorkerOf:
    """Starts a worker which takes it that the handlers of `echo` do not wait, or that they do."""

    async def start(stack: EngineStack) -> Worker:
        worker = await stack.worker()
        if request.param == "side by side":
            worker.runtime.processor._waiting_types.add("echo")
        return worker

    return start


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


async def test_a_slow_task_keeps_no_neighbour_waiting(
    stack_of: StackOf, worker_of: WorkerOf
) -> None:
    let_go = asyncio.Event()

    @handler
    async def maybe_slow(ctx: Context, payload: Anything) -> int:
        number = int(payload.model_dump()["n"])
        if number == 1:
            await let_go.wait()
        return number

    stack = await stack_of(a_type("echo", maybe_slow, short=True))
    worker = await worker_of(stack)
    envelope, tasks = await chunk(stack, *range(4))
    delivery = Handed(envelope.message(), count=0)
    processing = asyncio.create_task(worker.runtime.processor.process(delivery))

    for number in (0, 2, 3):  # before it, and after it
        assert (await stack.ended(tasks[number].id)).result == number
    assert await stack.kinds(tasks[1].id) == ["queued", "started", "step.started"]
    assert delivery.settled == []

    let_go.set()
    await processing
    assert (await stack.ended(tasks[1].id)).result == 1
    assert delivery.settled == ["ack"]


async def test_handlers_that_were_found_waiting_run_side_by_side(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, all_run = 0, asyncio.Event()

    @handler
    async def wait(ctx: Context, payload: Anything) -> None:
        nonlocal running
        if payload.model_dump()["n"] == 0:
            await asyncio.sleep(2 * SPILL_AFTER)
            return
        running += 1
        if running == 10:
            all_run.set()
        await all_run.wait()

    stack = await stack_of(a_type("echo", wait, short=True))
    worker = await stack.worker()
    process = worker.runtime.processor.process
    first, _ = await chunk(stack, 0, 0)
    await process(Handed(first.message(), count=0))
    monkeypatch.setattr("workers.chunk.SPILL_AFTER", 60.0)
    second, tasks = await chunk(stack, *range(1, 11))

    await asyncio.wait_for(process(Handed(second.message(), count=0)), 20)

    for task in tasks:
        assert (await stack.recorded(task.id)).status is Status.SUCCESS
        assert await stack.kinds(task.id) == [
            "queued",
            "started",
            "step.started",
            "step.completed",
            "succeeded",
        ]


async def test_handlers_that_wait_no_longer_run_in_turn_again(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("echo", echo, short=True))
    worker = await stack.worker()
    waiting = worker.runtime.processor._waiting_types
    waiting.add("echo")
    envelope, tasks = await chunk(stack, 1, 2)

    await worker.runtime.processor.process(Handed(envelope.message(), count=0))

    assert not waiting
    for task in tasks:
        assert (await stack.ended(task.id)).status is Status.SUCCESS


async def test_one_that_is_cancelled_among_those_that_wait_ends_alone(stack_of: StackOf) -> None:
    let_go = asyncio.Event()

    @handler
    async def wait(ctx: Context, payload: Anything) -> None:
        await let_go.wait()

    stack = await stack_of(a_type("echo", wait, short=True))
    worker = await stack.worker()
    worker.runtime.processor._waiting_types.add("echo")
    envelope, tasks = await chunk(stack, 1, 2)
    delivery = Handed(envelope.message(), count=0)
    processing = asyncio.create_task(worker.runtime.processor.process(delivery))
    await wait_for(lambda: len(worker.runtime.processor.holding.tasks) == 2)

    order = Cancellation(by="ops", at="2026-01-01T00:00:00.000000Z")
    await cancel(stack.resources, tasks[0].id, order)
    assert (await stack.ended(tasks[0].id)).status is Status.CANCELLED
    let_go.set()
    await processing

    assert (await stack.ended(tasks[1].id)).status is Status.SUCCESS
    assert delivery.settled == ["ack"]


async def test_a_process_full_of_short_tasks_takes_no_more_until_one_has_ended(
    stack_of: StackOf,
) -> None:
    running, most = 0, 0
    let_go = asyncio.Event()

    @handler
    async def wait(ctx: Context, payload: Anything) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await let_go.wait()
        running -= 1

    stack = await stack_of(
        a_type("echo", wait, short=True), a_type("long", wait), worker_concurrency=3
    )
    worker = await stack.worker()
    process = worker.runtime.processor.process
    messages = [await chunk(stack, *range(40)) for _ in range(2)]
    long = stack.draft("long", n=1)
    await stack.resources.state.submit_all(QUEUE, long.tasks)
    handed = [Handed(envelope.message(), count=0) for envelope, _ in messages]
    processing = [asyncio.create_task(process(item)) for item in handed]
    await wait_for(lambda: running == 40)  # the second does not fit in the 67
    processing.append(asyncio.create_task(process(Handed(long.message(), count=0))))
    await wait_for(lambda: running == 41)  # it passes the chunk that waits

    let_go.set()
    await asyncio.gather(*processing)

    assert most <= 3 + 64
    for _, tasks in messages:
        for task in tasks:
            assert (await stack.ended(task.id)).status is Status.SUCCESS


async def test_a_task_that_waits_for_a_place_as_the_worker_stops_goes_back_to_its_queue(
    stack_of: StackOf,
) -> None:
    let_go = asyncio.Event()
    ran: list[str] = []

    @handler
    async def wait(ctx: Context, payload: Anything) -> None:
        ran.append(ctx.task_type)
        await let_go.wait()

    stack = await stack_of(
        a_type("echo", wait, short=True), a_type("long", wait), worker_concurrency=1
    )
    worker = await stack.worker()
    process, holding = worker.runtime.processor.process, worker.runtime.processor.holding
    full, _ = await chunk(stack, *range(64))
    another = stack.draft("long", n=1)
    late = stack.draft("long", n=2)
    for envelope in (another, late):
        await stack.resources.state.submit_all(QUEUE, envelope.tasks)
    handed = [Handed(envelope.message(), count=0) for envelope in (full, another, late)]
    processing = [asyncio.create_task(process(item)) for item in handed[:2]]
    await wait_for(lambda: len(ran) == 65)
    processing.append(asyncio.create_task(process(handed[2])))
    holding.draining = True

    let_go.set()
    await asyncio.gather(*processing)

    assert handed[2].settled == ["release"]
    assert ran.count("long") == 1
    assert not (await stack.state(late.tasks[0].id)).status.ended


class NeverFoundWaiting(set[str]):
    """Types whose tasks go on to run in turn, whatever they do."""

    def add(self, _name: str) -> None:
        """It stays empty."""


@pytest.mark.parametrize("scarce", ["places", "turns"])
async def test_what_those_that_have_ended_had_is_others_however_long_their_neighbour_takes(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch, scarce: str
) -> None:
    let_go = asyncio.Event()

    @handler
    async def zero_waits(ctx: Context, payload: Anything) -> int:
        number = int(payload.model_dump()["n"])
        if number == 0:
            await let_go.wait()
        return number

    stack = await stack_of(a_type("echo", zero_waits, short=True))
    processor = (await stack.worker()).runtime.processor
    if scarce == "places":
        monkeypatch.setitem(processor._places, QUEUE, Places(4))
    else:
        monkeypatch.setattr(processor, "_turns", Places(4))
        monkeypatch.setattr(processor, "_waiting_types", NeverFoundWaiting())
        monkeypatch.setattr(processor, "_spares_turns", lambda: True)
    first, slow = await chunk(stack, 0, 1, 2, 3)
    second, tasks = await chunk(stack, 4, 5, 6)
    processing = asyncio.create_task(processor.process(Handed(first.message(), count=0)))
    for task in slow[1:]:  # they came first
        await stack.ended(task.id)

    await processor.process(Handed(second.message(), count=0))

    for task in tasks:
        assert (await stack.ended(task.id)).status is Status.SUCCESS
    assert not (await stack.state(slow[0].id)).status.ended
    let_go.set()
    await processing


@pytest.mark.parametrize(
    ("spared", "ran_meanwhile"),
    [(False, [0, 1, 2, 3, 4, 5, 6, 7]), (True, [0, 1, 2, 3])],
    ids=["usually", "unless the recorder is late"],
)
async def test_those_that_have_run_let_the_next_ones_run_before_their_end_is_written(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch, spared: bool, ran_meanwhile: list[int]
) -> None:
    ran: list[int] = []

    @handler
    async def noted(ctx: Context, payload: Anything) -> int:
        ran.append(int(payload.model_dump()["n"]))
        return ran[-1]

    stack = await stack_of(a_type("echo", noted, short=True))
    worker = await stack.worker()
    processor = worker.runtime.processor
    monkeypatch.setattr(processor, "_turns", Places(4))
    monkeypatch.setattr(processor, "_spares_turns", lambda: spared)
    may_end, settle_all = asyncio.Event(), stack.resources.state.settle_all

    async def held_up(settlements: Any) -> Any:
        await may_end.wait()
        return await settle_all(settlements)

    state = worker.runtime._engine.state
    monkeypatch.setattr(state, "settle_all", held_up)
    envelopes = [(await chunk(stack, *numbers))[0] for numbers in ([0, 1, 2, 3], [4, 5, 6, 7])]
    processing = [
        asyncio.create_task(processor.process(Handed(envelope.message(), count=0)))
        for envelope in envelopes
    ]
    await wait_for(lambda: ran == ran_meanwhile)
    assert processor.crowded is spared

    may_end.set()
    await asyncio.gather(*processing)
    assert ran == [0, 1, 2, 3, 4, 5, 6, 7]
    assert not processor.crowded


async def test_a_failure_is_its_own_tasks_alone(stack_of: StackOf, worker_of: WorkerOf) -> None:
    stack = await stack_of(a_type("echo", echo, short=True))
    worker = await worker_of(stack)
    envelope, tasks = await chunk(stack, 1, -1, 2)
    delivery = Handed(envelope.message(), count=0)

    await worker.runtime.processor.process(delivery)

    ended = [(await stack.ended(task.id)).status for task in tasks]
    assert ended == [Status.SUCCESS, Status.FAILURE, Status.SUCCESS]
    assert delivery.settled == ["ack"]
    for task in tasks:
        assert (await stack.recorded(task.id)).status.ended


async def test_a_worker_that_stops_in_mid_message_ends_what_is_done_and_leaves_the_rest(
    stack_of: StackOf, worker_of: WorkerOf
) -> None:
    begun, ran = asyncio.Event(), []

    @handler
    async def second_hangs(ctx: Context, payload: Anything) -> int:
        number = int(payload.model_dump()["n"])
        ran.append((ctx.attempt, number))
        if number == 1 and ctx.attempt == 1:
            begun.set()
            await asyncio.Event().wait()
        return number

    stack = await stack_of(a_type("echo", second_hangs, short=True), worker_grace=0.1)
    worker = await worker_of(stack)
    envelope, tasks = await chunk(stack, 0, 1)
    await stack.resources.broker.accept(QUEUE, envelope.message())
    await begun.wait()
    await worker.runtime.stop()
    assert (await stack.ended(tasks[0].id)).attempt == 1

    await stack.worker()
    second = await stack.ended(tasks[1].id)
    assert (second.status, second.attempt, second.result) == (Status.SUCCESS, 2, 1)
    assert ran == [(1, 0), (1, 1), (2, 1)]


async def test_a_message_whose_claims_are_others_runs_nothing(
    stack_of: StackOf, worker_of: WorkerOf
) -> None:
    """It is delivered while another message of the same tasks is being worked off."""
    runs: list[int] = []

    @handler
    async def once(ctx: Context, payload: Anything) -> None:
        runs.append(int(payload.model_dump()["n"]))
        await asyncio.sleep(0.1)

    stack = await stack_of(a_type("echo", once, short=True))
    worker = await worker_of(stack)
    envelope, tasks = await chunk(stack, *range(3))
    first, again = (Handed(envelope.message(), count=0) for _ in range(2))
    process = worker.runtime.processor.process

    await asyncio.gather(process(first), process(again))

    assert sorted(runs) == [0, 1, 2]
    assert first.settled == again.settled == ["ack"]
    for task in tasks:
        assert (await stack.ended(task.id)).attempt == 1
