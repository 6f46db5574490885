"""The broker's port: RabbitMQ and its double in memory keep the same promises."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from infra.broker.base import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    Delivery,
    Message,
    PublishUnconfirmed,
    StaleDelivery,
    UnknownQueue,
    Unroutable,
)
from infra.broker.factory import make_broker
from infra.broker.topology import (
    DEAD_LETTERS_QUEUE,
    DELIVERY_LIMIT,
    HISTORY_QUEUE,
    LADDER,
    SCHEDULED_KEY,
    Topology,
    rung_for,
)
from tests.waiting import wait_for

QUEUE = "quick_tasks"
OTHER = "long_tasks"


class Consumer:
    """Collects what it is handed."""

    def __init__(self) -> None:
        self.held: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> None:
        self.held.append(delivery)

    async def take(self, timeout: float = 10.0) -> Delivery:
        await wait_for(lambda: self.held, timeout)
        return self.held.pop(0)

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.message.body for delivery in self.held]


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    amqp_url: str = request.getfixturevalue("amqp_url")
    return amqp_url


@pytest.fixture
async def broker(url: str) -> AsyncIterator[Broker]:
    broker = make_broker(
        url, publish_timeout=20.0, topology=Topology((QUEUE, OTHER)), name="conformance"
    )
    await broker.open()
    yield broker
    await broker.close()


@pytest.fixture
async def history(broker: Broker) -> list[Message]:
    """A history consumer that takes everything, so that nobody waits for it."""
    seen: list[Message] = []
    acks: set[asyncio.Task[None]] = set()

    def receive(delivery: Delivery) -> None:
        seen.append(delivery.message)
        ack = asyncio.create_task(delivery.ack())
        acks.add(ack)
        ack.add_done_callback(acks.discard)

    await broker.consume(HISTORY_QUEUE, receive, prefetch=100)
    return seen


def message(body: bytes = b"body") -> Message:
    return Message(
        "envelope", body, correlation_id="task-1", headers={"text": "ü", "number": 2**40}
    )


async def test_acceptance_reaches_the_work_queue_and_history(
    broker: Broker, history: list[Message]
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)

    await broker.accept(QUEUE, message())

    delivery = await consumer.take()
    await wait_for(lambda: history)
    assert delivery.message == history[0] == message()
    assert (delivery.queue, delivery.count) == (QUEUE, 0)


async def test_an_acceptance_that_no_queue_takes_is_refused(
    broker: Broker, history: list[Message]
) -> None:
    with pytest.raises(Unroutable):
        await broker.accept("nowhere", message())
    with pytest.raises(Unroutable):
        await broker.send("nowhere", message())


async def test_a_megabyte_arrives_as_it_was_sent(broker: Broker) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    body = bytes(range(256)) * 4096

    await broker.send(QUEUE, message(body))

    assert (await consumer.take()).message.body == body


async def test_messages_keep_their_order(broker: Broker) -> None:
    consumer = Consumer()
    for number in range(50):
        await broker.send(QUEUE, message(b"%d" % number))

    await broker.consume(QUEUE, consumer, prefetch=100)

    await wait_for(lambda: len(consumer.held) == 50)
    assert consumer.bodies == [b"%d" % number for number in range(50)]


async def test_prefetch_bounds_what_is_outstanding(broker: Broker) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=2)
    for number in range(5):
        await broker.send(QUEUE, message(b"%d" % number))

    await wait_for(lambda: len(consumer.held) == 2)
    await wait_for(lambda: depth_is(broker, QUEUE, 3))
    assert consumer.bodies == [b"0", b"1"]
    await consumer.held[0].ack()
    await wait_for(lambda: len(consumer.held) == 3)


async def depth_is(broker: Broker, queue: str, depth: int) -> bool:
    return await broker.depth(queue) == depth


async def test_what_is_acknowledged_is_gone(broker: Broker) -> None:
    consumer = Consumer()
    first = await broker.consume(QUEUE, consumer, prefetch=10)
    await broker.send(QUEUE, message(b"done"))
    await (await consumer.take()).ack()
    await first.close()

    await broker.send(QUEUE, message(b"next"))
    again = Consumer()
    await broker.consume(QUEUE, again, prefetch=10)

    assert (await again.take()).message.body == b"next"


async def test_what_is_released_comes_again_and_is_counted(broker: Broker) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.send(QUEUE, message())

    for count in range(3):
        delivery = await consumer.take()
        assert delivery.count == count
        await delivery.release()


async def test_a_delivery_is_settled_once(broker: Broker) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.send(QUEUE, message())
    old = await consumer.take()
    await old.release()
    new = await consumer.take()

    with pytest.raises(StaleDelivery):
        await old.ack()

    await new.ack()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_order_of_settling_only_what_is_released_comes_again(
    broker: Broker, seed: int
) -> None:
    consumer, numbers, luck = Consumer(), range(120), random.Random(seed)
    subscription = await broker.consume(QUEUE, consumer, prefetch=200)
    for number in numbers:
        await broker.send(QUEUE, message(b"%d" % number))
    await wait_for(lambda: len(consumer.held) == len(numbers))
    handed_out, consumer.held = consumer.held, []

    async def settle(delivery: Delivery) -> None:
        for _ in range(luck.randrange(4)):  # some in the same turn of the loop, others later
            await asyncio.sleep(0)
        await (delivery.release() if delivery in released else delivery.ack())

    released = luck.sample(handed_out, 20)
    await asyncio.gather(*map(settle, luck.sample(handed_out, len(handed_out))))
    await broker.send(QUEUE, message(b"after"))  # the channel is as it was
    await wait_for(lambda: len(consumer.held) == 21)
    await subscription.close()

    assert sorted(consumer.bodies) == sorted(
        [*(delivery.message.body for delivery in released), b"after"]
    )
    await wait_for(lambda: depth_is(broker, QUEUE, 21))


async def test_a_closed_consumer_s_messages_go_to_another(broker: Broker) -> None:
    first, second = Consumer(), Consumer()
    closing = await broker.consume(QUEUE, first, prefetch=10)
    await broker.send(QUEUE, message(b"passed on"))
    stale = await first.take()

    await closing.close()
    await broker.consume(QUEUE, second, prefetch=10)

    assert (await second.take()).message.body == b"passed on"
    with pytest.raises(StaleDelivery):
        await stale.ack()


async def test_a_cancelled_consumer_gets_nothing_more_and_may_still_settle(
    broker: Broker,
) -> None:
    consumer, other = Consumer(), Consumer()
    subscription = await broker.consume(QUEUE, consumer, prefetch=10)
    await broker.send(QUEUE, message(b"mine"))
    mine = await consumer.take()

    await subscription.cancel()
    await broker.send(QUEUE, message(b"another's"))
    await broker.consume(QUEUE, other, prefetch=10)
    await mine.ack()

    assert (await other.take()).message.body == b"another's"
    assert consumer.held == []


async def test_a_poisonous_message_ends_among_the_dead_letters(broker: Broker) -> None:
    consumer, dead = Consumer(), Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.consume(DEAD_LETTERS_QUEUE, dead, prefetch=1)
    await broker.send(QUEUE, message(b"poison"))
    await broker.send(QUEUE, message(b"healthy"))

    for _ in range(DELIVERY_LIMIT + 1):
        delivery = await consumer.take()
        assert delivery.message.body == b"poison"
        await delivery.release()

    assert (await dead.take(20)).message == message(b"poison")
    assert (await consumer.take()).message.body == b"healthy"


@pytest.mark.parametrize("delay", [0.25, 0.7])
async def test_a_delayed_message_arrives_after_its_rung_and_not_before(
    broker: Broker, delay: float
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    began = time.monotonic()

    await broker.send(QUEUE, message(b"later"), delay=delay)
    delivery = await consumer.take()

    assert time.monotonic() - began >= rung_for(delay).seconds * 0.98
    assert delivery.message == message(b"later")
    assert delivery.count == 0


async def test_a_short_delay_is_not_held_up_by_a_longer_one(broker: Broker) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=10)

    await broker.send(QUEUE, message(b"long"), delay=2.0)
    await broker.send(QUEUE, message(b"short"), delay=0.25)

    await wait_for(lambda: len(consumer.held) == 2)
    assert consumer.bodies == [b"short", b"long"]


async def test_history_has_one_active_consumer(broker: Broker) -> None:
    active, standby = Consumer(), Consumer()
    first = await broker.consume(HISTORY_QUEUE, active, prefetch=10)
    await broker.consume(HISTORY_QUEUE, standby, prefetch=10)
    for _ in range(5):
        await broker.send(HISTORY_QUEUE, message())

    await wait_for(lambda: len(active.held) == 5)
    assert standby.held == []
    await first.close()
    await wait_for(lambda: len(standby.held) == 5)


async def test_a_queue_outside_the_topology_is_named_and_harms_nothing(broker: Broker) -> None:
    with pytest.raises(UnknownQueue, match="nowhere"):
        await broker.consume("nowhere", Consumer(), prefetch=1)
    with pytest.raises(UnknownQueue, match="nowhere"):
        await broker.depth("nowhere")
    with pytest.raises(Unroutable):
        await broker.send("nowhere", message(), delay=0.25)

    await broker.check()


async def test_a_check_tells_which_queues_nobody_consumes(broker: Broker) -> None:
    first = await broker.check()
    assert QUEUE in first
    assert (await broker.check())[QUEUE] > first[QUEUE]

    subscription = await broker.consume(QUEUE, Consumer(), prefetch=1)
    idle = await broker.check()
    assert QUEUE not in idle
    assert OTHER in idle

    await subscription.close()

    async def left() -> bool:
        return QUEUE in await broker.check()

    await wait_for(left)
    now = await broker.check()
    assert now[QUEUE] < now[OTHER], "counted from when it lost its consumer"


async def test_a_subscriber_may_begin_again_on_a_fresh_channel(broker: Broker) -> None:
    await broker.send(QUEUE, message())
    for _ in range(5):
        consumer = Consumer()
        subscription = await broker.consume(QUEUE, consumer, prefetch=1)
        await consumer.take()
        await subscription.close()

    await wait_for(lambda: depth_is(broker, QUEUE, 1))


async def test_a_scheduled_acceptance_reaches_history_alone(
    broker: Broker, history: list[Message]
) -> None:
    await broker.accept(SCHEDULED_KEY, message())

    await wait_for(lambda: history)
    assert history == [message()]
    assert [await broker.depth(queue) for queue in (QUEUE, OTHER)] == [0, 0]


async def test_an_acceptance_goes_to_its_own_work_queue_alone(
    broker: Broker, history: list[Message]
) -> None:
    await broker.accept(OTHER, message())

    await wait_for(lambda: depth_is(broker, OTHER, 1))
    assert await broker.depth(QUEUE) == 0


@pytest.mark.parametrize("queue", [HISTORY_QUEUE, DEAD_LETTERS_QUEUE])
async def test_nothing_is_accepted_straight_into_a_queue_that_is_no_work_queue(
    broker: Broker, history: list[Message], queue: str
) -> None:
    with pytest.raises(Unroutable):
        await broker.accept(queue, message())

    assert history == []


@pytest.mark.parametrize(
    "sent",
    [
        Message("envelope", b""),
        Message("record", b"\x00\xff\r\n", correlation_id="任务-1"),
        Message("dead", b"{}", headers={"text": "", "whole": -(2**40), "中文": "😀"}),
    ],
    ids=["empty", "bytes", "headers"],
)
@pytest.mark.parametrize("delay", [0.0, 0.25])
async def test_a_message_arrives_as_it_was_sent(
    broker: Broker, sent: Message, delay: float
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)

    await broker.send(QUEUE, sent, delay=delay)

    assert (await consumer.take()).message == sent


async def test_what_a_closed_consumer_held_keeps_its_order(broker: Broker) -> None:
    first, second = Consumer(), Consumer()
    for number in range(6):
        await broker.send(QUEUE, message(b"%d" % number))
    closing = await broker.consume(QUEUE, first, prefetch=3)
    await wait_for(lambda: len(first.held) == 3)

    await closing.close()
    await broker.consume(QUEUE, second, prefetch=10)

    await wait_for(lambda: len(second.held) == 6)
    assert second.bodies == [b"%d" % number for number in range(6)]
    assert [delivery.count for delivery in second.held] == [1, 1, 1, 0, 0, 0]


async def test_consumers_of_a_work_queue_share_it(broker: Broker) -> None:
    one, two = Consumer(), Consumer()
    await broker.consume(QUEUE, one, prefetch=2)
    await broker.consume(QUEUE, two, prefetch=2)

    for number in range(4):
        await broker.send(QUEUE, message(b"%d" % number))

    await wait_for(lambda: len(one.held) == len(two.held) == 2)
    assert sorted(one.bodies + two.bodies) == [b"0", b"1", b"2", b"3"]


async def test_a_full_queue_class_holds_up_no_other(broker: Broker) -> None:
    busy, free = Consumer(), Consumer()
    await broker.consume(OTHER, busy, prefetch=1)
    await broker.consume(QUEUE, free, prefetch=1)
    for _ in range(3):
        await broker.send(OTHER, message(b"long"))
    await wait_for(lambda: busy.held)

    await broker.send(QUEUE, message(b"quick"))

    assert (await free.take()).message.body == b"quick"
    assert busy.bodies == [b"long"]


@pytest.mark.parametrize("queue", [HISTORY_QUEUE, DEAD_LETTERS_QUEUE])
async def test_a_record_is_never_given_up(broker: Broker, queue: str) -> None:
    consumer = Consumer()
    await broker.consume(queue, consumer, prefetch=1)
    await broker.send(queue, message(b"record"))

    for _ in range(DELIVERY_LIMIT + 5):
        await (await consumer.take()).release()

    assert (await consumer.take()).message.body == b"record"


async def test_an_announcement_needs_no_listener(broker: Broker) -> None:
    await broker.announce("quick.succeeded", message())


async def test_a_caller_that_goes_away_leaves_its_publish_to_finish(broker: Broker) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=10)
    publish = asyncio.create_task(broker.send(QUEUE, message(b"kept")))
    await asyncio.sleep(0)
    publish.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await publish

    assert (await consumer.take()).message.body == b"kept"


async def test_a_healthy_broker_passes_its_check_and_a_closed_one_refuses(url: str) -> None:
    broker = make_broker(url, publish_timeout=20.0, topology=Topology((QUEUE,)), name="closing")
    consumer = Consumer()
    await broker.open()
    await broker.check()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.send(QUEUE, message())
    held = await consumer.take()

    await broker.close()

    calls: list[Callable[[], Awaitable[object]]] = [
        broker.check,
        lambda: broker.accept(QUEUE, message()),
        lambda: broker.send(QUEUE, message()),
        lambda: broker.send(QUEUE, message(), delay=0.25),
        lambda: broker.announce("quick.succeeded", message()),
        lambda: broker.consume(QUEUE, consumer, prefetch=1),
        lambda: broker.depth(QUEUE),
    ]
    for call in calls:
        with pytest.raises(BrokerUnavailable):
            await call()
    with pytest.raises(StaleDelivery):
        await held.ack()
    await broker.close()


async def test_a_closed_broker_lets_a_publish_in_flight_end_in_a_broker_s_answer(url: str) -> None:
    broker = make_broker(url, publish_timeout=20.0, topology=Topology((QUEUE,)), name="closing")
    await broker.open()
    publishes = [asyncio.create_task(broker.send(QUEUE, message())) for _ in range(50)]
    await asyncio.sleep(0)

    await broker.close()

    outcomes = await asyncio.gather(*publishes, return_exceptions=True)
    assert [item for item in outcomes if item and not isinstance(item, BrokerError)] == []


async def test_many_publishes_may_be_in_flight(broker: Broker, history: list[Message]) -> None:
    await asyncio.gather(*(broker.accept(QUEUE, message(b"%d" % n)) for n in range(500)))

    await wait_for(lambda: depth_is(broker, QUEUE, 500))
    await wait_for(lambda: len(history) == 500)


async def test_in_memory_a_confirm_means_that_history_has_it() -> None:
    broker = make_broker("memory://", publish_timeout=0.05, topology=Topology((QUEUE,)), name="m")
    await broker.open()
    with pytest.raises(PublishUnconfirmed):
        await broker.accept(QUEUE, message())

    consumer = Consumer()
    await broker.consume(HISTORY_QUEUE, consumer, prefetch=1)
    late = await consumer.take()
    await late.ack()
    accepting = asyncio.create_task(broker.accept(QUEUE, message()))
    copy = await consumer.take()
    assert not accepting.done()
    await copy.ack()
    await accepting
    await broker.close()


@pytest.mark.parametrize(
    ("delay", "seconds"), [(0.0, 0.25), (0.3, 0.25), (1.0, 1.0), (7.9, 4.0), (1e9, 32_768.0)]
)
def test_a_delay_is_rounded_down_to_a_rung(delay: float, seconds: float) -> None:
    assert rung_for(delay).seconds == seconds


def test_the_rungs_double() -> None:
    seconds = [rung.seconds for rung in LADDER]
    assert [b / a for a, b in itertools.pairwise(seconds)] == [2.0] * (len(LADDER) - 1)
