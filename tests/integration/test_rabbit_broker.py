"""RabbitMQ alone: what it really has of ours, and what becomes of us when it stumbles."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.broker.base import (
    BrokerError,
    BrokerUnavailable,
    Message,
    PublishUnconfirmed,
    StaleDelivery,
    Unroutable,
)
from infra.broker.factory import make_broker
from infra.broker.rabbit import ASSERT_EVERY, RabbitBroker
from infra.broker.topology import Topology
from infra.services.ports import free_port
from infra.services.rabbitmq import RabbitMQ
from tests.conformance.test_broker import Consumer
from tests.killing import kill_broker
from tests.waiting import wait_for

QUEUE = "quick_tasks"
MESSAGE = Message("envelope", b"body")


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[RabbitBroker]:
    broker = make_broker(
        amqp_url, publish_timeout=2.0, topology=Topology((QUEUE,)), name="integration"
    )
    assert isinstance(broker, RabbitBroker)
    await broker.open()
    yield broker
    await broker.close()


@pytest.fixture
def vhost(amqp_url: str) -> str:
    return urlsplit(amqp_url).path.strip("/")


async def test_the_topology_is_as_designed(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    await broker.send(QUEUE, MESSAGE, delay=0.5)

    queues: dict[str, Any] = {
        queue["name"]: queue for queue in rabbitmq.management("GET", f"/api/queues/{vhost}")
    }
    exchanges = {item["name"] for item in rabbitmq.management("GET", f"/api/exchanges/{vhost}")}
    bindings = {
        (item["source"], item["destination"], item["routing_key"])
        for item in rabbitmq.management("GET", f"/api/bindings/{vhost}")
    }

    assert {queue["type"] for queue in queues.values()} == {"quorum"}
    assert set(queues) == {QUEUE, "history", "dead_letters", "stepline.delay.500ms"}
    assert queues[QUEUE]["arguments"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead_letters",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    assert queues["history"]["arguments"]["x-single-active-consumer"] is True
    assert {"stepline.tasks", "stepline.events", "stepline.delay.500ms"} <= exchanges
    assert {
        ("stepline.tasks", QUEUE, QUEUE),
        ("stepline.tasks", "history", QUEUE),
        ("stepline.tasks", "history", "scheduled"),
    } <= bindings


async def test_a_lost_binding_is_mended_by_the_check(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    path = f"/api/bindings/{vhost}/e/stepline.tasks/q/{QUEUE}"
    (binding,) = rabbitmq.management("GET", path)
    rabbitmq.management("DELETE", f"{path}/{binding['properties_key']}")
    assert rabbitmq.management("GET", path) == []

    await broker.check()

    assert len(rabbitmq.management("GET", path)) == 1


async def test_a_cut_connection_gives_the_message_again(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.send(QUEUE, MESSAGE)
    stale = await consumer.take()

    rabbitmq.ctl("close_all_connections", "--vhost", vhost, "test")

    again = await consumer.take(timeout=20)
    assert again.message == MESSAGE
    with pytest.raises(StaleDelivery):
        await stale.ack()
    await again.ack()
    await wait_for(lambda: accepts(broker), timeout=20)


async def accepts(broker: RabbitBroker) -> bool:
    try:
        await broker.send(QUEUE, MESSAGE)
    except (BrokerUnavailable, PublishUnconfirmed, Unroutable):  # queues elect leaders first
        return False
    return True


async def test_a_deleted_queue_comes_back_with_its_consumer(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)

    rabbitmq.management("DELETE", f"/api/queues/{vhost}/{QUEUE}")
    await wait_for(lambda: accepts(broker), timeout=20)  # the regular assertion makes it again

    assert (await consumer.take(timeout=30)).message == MESSAGE


async def test_a_lost_binding_is_mended_without_being_asked(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    path = f"/api/bindings/{vhost}/e/stepline.tasks/q/{QUEUE}"
    (binding,) = rabbitmq.management("GET", path)
    rabbitmq.management("DELETE", f"{path}/{binding['properties_key']}")

    await wait_for(lambda: rabbitmq.management("GET", path), timeout=ASSERT_EVERY + 5)


async def test_a_lost_rung_is_made_again(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.send(QUEUE, MESSAGE, delay=0.25)
    await (await consumer.take()).ack()

    rabbitmq.management("DELETE", f"/api/queues/{vhost}/stepline.delay.250ms")
    with pytest.raises(Unroutable):
        await broker.send(QUEUE, MESSAGE, delay=0.25)
    await broker.send(QUEUE, MESSAGE, delay=0.25)

    assert (await consumer.take()).message == MESSAGE


async def test_a_lost_exchange_costs_the_publisher_a_channel_and_no_consumer(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.send(QUEUE, MESSAGE)
    held = await consumer.take()

    rabbitmq.management("DELETE", f"/api/exchanges/{vhost}/stepline.events")
    with pytest.raises(PublishUnconfirmed):
        await broker.announce("quick.succeeded", MESSAGE)
    await wait_for(lambda: announces(broker))

    await held.ack()


async def test_all_announcements_reach_a_bound_queue_and_none_is_missed_without_one(
    broker: RabbitBroker, rabbitmq: RabbitMQ, vhost: str
) -> None:
    messages = [Message("event", b"%d" % number) for number in range(5)]
    await broker.announce("quick.succeeded", *messages)
    rabbitmq.management("PUT", f"/api/queues/{vhost}/outside", {"durable": True})
    binding = f"/api/bindings/{vhost}/e/stepline.events/q/outside"
    rabbitmq.management("POST", binding, {"routing_key": "quick.*"})

    await broker.announce("quick.succeeded", *messages)
    await broker.announce("email.succeeded", *messages)

    got = rabbitmq.management(
        "POST",
        f"/api/queues/{vhost}/outside/get",
        {"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"},
    )
    assert [item["payload"] for item in got] == ["0", "1", "2", "3", "4"]


async def announces(broker: RabbitBroker) -> bool:
    try:
        await broker.announce("quick.succeeded", MESSAGE)
    except (BrokerUnavailable, PublishUnconfirmed):
        return False
    return True


async def test_a_queue_with_other_properties_is_named(
    amqp_url: str, rabbitmq: RabbitMQ, vhost: str
) -> None:
    rabbitmq.management("PUT", f"/api/queues/{vhost}/history", {"durable": True, "arguments": {}})
    broker = make_broker(amqp_url, publish_timeout=2.0, topology=Topology((QUEUE,)), name="late")

    with pytest.raises(BrokerError, match=r"'history'.*delete it") as refused:
        await broker.open()

    assert refused.value.code == "topology_mismatch"
    await broker.close()


async def test_a_host_that_does_not_answer_is_passed_over(amqp_url: str) -> None:
    head, at, tail = amqp_url.rpartition("@")
    url = f"{head}{at}127.0.0.1:{free_port()},{tail}"
    for _ in range(4):  # the order is drawn
        broker = make_broker(url, publish_timeout=2.0, topology=Topology((QUEUE,)), name="hosts")
        await broker.open()
        await broker.check()
        await broker.close()


async def test_no_host_at_all_is_said_without_the_password() -> None:
    url = f"amqp://someone:hush@127.0.0.1:{free_port()}/"
    broker = make_broker(url, publish_timeout=2.0, name="nobody")

    with pytest.raises(BrokerUnavailable, match="someone") as refused:
        await broker.open()

    assert "hush" not in str(refused.value)


async def test_while_rabbitmq_blocks_publishers_they_hear_it_and_acks_go_through(
    broker: RabbitBroker, rabbitmq: RabbitMQ
) -> None:
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=1)
    await broker.send(QUEUE, Message("envelope", b"first"))
    await broker.send(QUEUE, Message("envelope", b"second"))
    first = await consumer.take()

    rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        await wait_for(lambda: refuses_fast(broker), timeout=20)
        with pytest.raises(BrokerUnavailable, match="alarm"):
            await broker.send(QUEUE, MESSAGE)
        with pytest.raises(BrokerUnavailable, match="alarm"):
            await broker.check()
        await first.ack()
        assert (await consumer.take()).message.body == b"second"
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")

    await wait_for(lambda: accepts(broker), timeout=20)


@pytest.fixture
def own_rabbitmq(rabbitmq: RabbitMQ, services_folder: Path) -> Iterator[RabbitMQ]:
    """One that may be killed."""
    service = RabbitMQ(services_folder / "rabbitmq-killed")
    service.start()
    yield service
    service.stop()


async def test_a_killed_broker_is_told_at_once_and_found_again(own_rabbitmq: RabbitMQ) -> None:
    broker = make_broker(
        own_rabbitmq.url, publish_timeout=2.0, topology=Topology((QUEUE,)), name="killed"
    )
    assert isinstance(broker, RabbitBroker)
    await broker.open()
    consumer = Consumer()
    await broker.consume(QUEUE, consumer, prefetch=10)
    await broker.send(QUEUE, MESSAGE)
    await (await consumer.take()).ack()

    kill_broker(own_rabbitmq)
    await wait_for(lambda: refuses_fast(broker))
    own_rabbitmq.start()

    await wait_for(lambda: accepts(broker), timeout=30)
    assert (await consumer.take(timeout=30)).message == MESSAGE
    await broker.close()


async def refuses_fast(broker: RabbitBroker) -> bool:
    began = time.monotonic()
    try:
        await broker.send(QUEUE, MESSAGE)
    except BrokerUnavailable:
        return time.monotonic() - began < 0.5
    except Exception as error:  # a publish caught in the middle may have arrived
        assert type(error).__name__ == "PublishUnconfirmed"
    return False


async def test_a_consumer_that_the_broker_has_forgotten_begins_anew(
    broker: RabbitBroker,
) -> None:
    consumer = Consumer()
    subscription = await broker.consume(QUEUE, consumer, prefetch=10)
    (runner,) = broker._subscriptions
    assert runner._raw is not None
    await runner._raw.basic_cancel(runner._tag)  # and nobody tells the subscription
    await broker.send(QUEUE, MESSAGE)

    delivery = await consumer.take(ASSERT_EVERY * 4)

    assert delivery.message.body == MESSAGE.body
    await subscription.close()
