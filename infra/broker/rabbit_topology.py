"""The exchanges, queues and bindings. Asserting them again repairs what is gone."""

from __future__ import annotations

from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelPreconditionFailed

from infra.broker.base import BrokerError
from infra.broker.topology import (
    DEAD_LETTERS_QUEUE,
    DELIVERY_LIMIT,
    EVENTS_EXCHANGE,
    HISTORY_QUEUE,
    SCHEDULED_KEY,
    TASKS_EXCHANGE,
    Rung,
    Topology,
)

QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}

SAFE_DEAD_LETTERING: dict[str, Any] = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # without it the strategy is at-most-once, silently
}


class TopologyMismatch(BrokerError):
    """A queue or exchange is there with other properties than this version needs."""

    code = "topology_mismatch"


async def assert_topology(channel: AbstractChannel, topology: Topology) -> None:
    """Declare and bind everything but the ladder. Raises `TopologyMismatch`."""
    try:
        tasks = await channel.declare_exchange(TASKS_EXCHANGE, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=True)
        await channel.declare_queue(DEAD_LETTERS_QUEUE, durable=True, arguments=QUORUM)
        history = await channel.declare_queue(
            HISTORY_QUEUE,
            durable=True,
            arguments=QUORUM | {"x-single-active-consumer": True},
        )
        for name in topology.work_queues:
            queue = await channel.declare_queue(
                name,
                durable=True,
                arguments=QUORUM
                | SAFE_DEAD_LETTERING
                | {
                    "x-dead-letter-routing-key": DEAD_LETTERS_QUEUE,
                    "x-delivery-limit": DELIVERY_LIMIT,
                },
            )
            await queue.bind(tasks, name)
            await history.bind(tasks, name)
        await history.bind(tasks, SCHEDULED_KEY)
    except ChannelPreconditionFailed as error:
        raise _mismatch(error) from error


async def assert_rung(channel: AbstractChannel, rung: Rung) -> None:
    """Declare one level of the ladder: an exchange, and behind it a queue whose messages leave for
    the queue that their own routing key names."""
    try:
        exchange = await channel.declare_exchange(rung.name, ExchangeType.FANOUT, durable=True)
        queue = await channel.declare_queue(
            rung.name,
            durable=True,
            arguments=QUORUM | SAFE_DEAD_LETTERING | {"x-message-ttl": int(rung.seconds * 1000)},
        )
        await queue.bind(exchange)
    except ChannelPreconditionFailed as error:
        raise _mismatch(error) from error


def _mismatch(error: ChannelPreconditionFailed) -> TopologyMismatch:
    return TopologyMismatch(
        f"RabbitMQ has a queue or exchange of ours with other properties: {error}. Let it drain, "
        "delete it, and start again; it will be made anew."
    )
