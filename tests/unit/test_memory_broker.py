"""The memory broker: what it promises beyond the port. (The port's own promises: conformance.)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from infra.broker.base import (
    BrokerUnavailable,
    Delivery,
    Message,
    PublishUnconfirmed,
    StaleDelivery,
    UnknownQueue,
)
from infra.broker.factory import make_broker
from infra.broker.memory import MemoryBroker
from infra.broker.topology import HISTORY_QUEUE, SCHEDULED_KEY, Topology
from tests.waiting import wait_for

QUEUE = "quick_tasks"


@dataclass(eq=False)
class HandTimer:
    due: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class HandClock:
    """Time passes when it is told to."""

    now: float = 0.0
    timers: list[HandTimer] = field(default_factory=list)

    def call_later(self, seconds: float, call: Callable[[], None]) -> HandTimer:
        timer = HandTimer(self.now + seconds, call)
        self.timers.append(timer)
        return timer

    def turn_to(self, now: float) -> None:
        self.now = now
        due = [timer for timer in self.timers if timer.due <= now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in sorted(due, key=lambda timer: timer.due):
            timer.call()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def broker(clock: HandClock) -> AsyncIterator[MemoryBroker]:
    broker = MemoryBroker(Topology((QUEUE,)), 5.0, call_later=clock.call_later)
    await broker.open()
    yield broker
    await broker.close()


def message(body: bytes = b"body") -> Message:
    return Message("envelope", body)


async def depth(broker: MemoryBroker) -> int:
    return await broker.depth(QUEUE)


async def test_a_url_makes_it() -> None:
    assert isinstance(make_broker("memory://", publish_timeout=1.0, name="unit"), MemoryBroker)


async def test_a_delay_lasts_as_long_as_its_rung_to_the_second(
    broker: MemoryBroker, clock: HandClock
) -> None:
    await broker.send(QUEUE, message(), delay=5.0)

    clock.turn_to(3.999)
    assert await depth(broker) == 0
    clock.turn_to(4.0)
    assert await depth(broker) == 1


async def test_a_closed_broker_lets_no_delayed_message_fall(
    broker: MemoryBroker, clock: HandClock
) -> None:
    await broker.send(QUEUE, message(), delay=1.0)

    await broker.close()

    assert [timer.cancelled for timer in clock.timers] == [True]


async def test_a_released_history_copy_keeps_the_acceptance_waiting(broker: MemoryBroker) -> None:
    held: list[Delivery] = []
    await broker.consume(HISTORY_QUEUE, held.append, prefetch=1)
    accepting = asyncio.create_task(broker.accept(QUEUE, message()))

    for count in range(30):  # more often than any work queue would bear
        (delivery,) = await wait_for(lambda: held)
        held.clear()
        assert (delivery.count, accepting.done()) == (count, False)
        await delivery.release()
    await (await wait_for(lambda: held))[0].ack()

    await accepting


async def test_an_acceptance_survives_a_change_of_the_history_consumer(
    broker: MemoryBroker,
) -> None:
    first: list[Delivery] = []
    second: list[Delivery] = []
    closing = await broker.consume(HISTORY_QUEUE, first.append, prefetch=1)
    accepting = asyncio.create_task(broker.accept(QUEUE, message()))
    await wait_for(lambda: first)

    await closing.close()
    assert not accepting.done()
    await broker.consume(HISTORY_QUEUE, second.append, prefetch=1)
    await (await wait_for(lambda: second))[0].ack()

    await accepting


async def test_closing_tells_a_waiting_acceptance_that_nothing_is_certain(
    broker: MemoryBroker,
) -> None:
    accepting = asyncio.create_task(broker.accept(QUEUE, message()))
    await wait_for(lambda: depth(broker))

    await broker.close()

    with pytest.raises(PublishUnconfirmed):
        await accepting


async def test_what_is_scheduled_reaches_history_alone(broker: MemoryBroker) -> None:
    held: list[Delivery] = []
    await broker.consume(HISTORY_QUEUE, held.append, prefetch=1)
    accepting = asyncio.create_task(broker.accept(SCHEDULED_KEY, message()))

    await (await wait_for(lambda: held))[0].ack()
    await accepting

    assert await depth(broker) == 0


async def test_consumers_take_turns(broker: MemoryBroker) -> None:
    first: list[Delivery] = []
    second: list[Delivery] = []
    await broker.consume(QUEUE, first.append, prefetch=10)
    await broker.consume(QUEUE, second.append, prefetch=10)

    for number in range(6):
        await broker.send(QUEUE, message(b"%d" % number))

    await wait_for(lambda: len(first) + len(second) == 6)
    assert [item.message.body for item in first] == [b"0", b"2", b"4"]
    assert [item.message.body for item in second] == [b"1", b"3", b"5"]


async def test_what_comes_back_comes_first(broker: MemoryBroker) -> None:
    held: list[Delivery] = []
    subscription = await broker.consume(QUEUE, held.append, prefetch=2)
    for number in range(4):
        await broker.send(QUEUE, message(b"%d" % number))
    await wait_for(lambda: len(held) == 2)

    await subscription.close()
    again: list[Delivery] = []
    await broker.consume(QUEUE, again.append, prefetch=4)

    await wait_for(lambda: len(again) == 4)
    seen = [(item.message.body, item.count) for item in again]
    assert seen == [(b"0", 1), (b"1", 1), (b"2", 0), (b"3", 0)]


async def test_nothing_is_handed_out_within_a_publisher_s_own_call(broker: MemoryBroker) -> None:
    held: list[Delivery] = []
    await broker.consume(QUEUE, held.append, prefetch=1)

    await broker.send(QUEUE, message())

    assert held == []
    await wait_for(lambda: held)


async def test_an_old_delivery_cannot_settle_the_message_s_next_one(broker: MemoryBroker) -> None:
    held: list[Delivery] = []
    await broker.consume(QUEUE, held.append, prefetch=1)
    await broker.send(QUEUE, message())
    old = (await wait_for(lambda: held)).pop()
    await old.release()
    new = (await wait_for(lambda: held)).pop()

    with pytest.raises(StaleDelivery):
        await old.ack()

    await new.ack()


async def test_a_listener_hears_announcements(broker: MemoryBroker) -> None:
    heard: list[tuple[str, Message]] = []
    broker.listen(lambda key, announced: heard.append((key, announced)))

    await broker.announce("quick.succeeded", message())

    assert await wait_for(lambda: heard) == [("quick.succeeded", message())]


async def test_a_queue_that_is_not_there_is_named(broker: MemoryBroker) -> None:
    with pytest.raises(UnknownQueue, match="nowhere"):
        await broker.consume("nowhere", lambda _: None, prefetch=1)
    with pytest.raises(UnknownQueue, match="nowhere"):
        await broker.depth("nowhere")


async def test_a_closed_broker_gives_and_takes_nothing(broker: MemoryBroker) -> None:
    await broker.close()

    with pytest.raises(BrokerUnavailable):
        await broker.accept(QUEUE, message())
    with pytest.raises(BrokerUnavailable):
        await broker.consume(QUEUE, lambda _: None, prefetch=1)
    with pytest.raises(BrokerUnavailable):
        await broker.announce("quick.succeeded", message())
