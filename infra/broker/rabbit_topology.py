"""The exchanges, queues and bindings. Asserting them again repairs what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed

from infra.broker.base import BrokerError, BrokerUnavailable
from infra.broker.rabbit_connection import (
    CONNECTION_ERRORS,
    close_anyhow,
    driver_cancellations,
    raw_connection,
)
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

FIRST_ASSERT_TIMEOUT = 15.0
"""Seconds for making everything on a fresh connection: new quorum queues elect leaders."""

QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}

SAFE_DEAD_LETTERING: dict[str, Any] = {
    "x-dead-letter-exchange": "",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",  # without it the strategy is at-most-once, silently
}

NO_LIMIT: dict[str, Any] = {"x-delivery-limit": -1}

T = TypeVar("T")


class TopologyMismatch(BrokerError):
    """A queue or exchange is there with other properties than this version needs."""

    code = "topology_mismatch"


def queue_arguments(topology: Topology, server_version: str) -> dict[str, dict[str, Any]]:
    """Each queue but the ladder's, with the arguments that this version of RabbitMQ needs."""
    # RabbitMQ 4 drops a message after 20 redeliveries unless told otherwise; 3 refuses to be told
    unlimited = QUORUM | (NO_LIMIT if _major(server_version) >= 4 else {})
    work = (
        QUORUM
        | SAFE_DEAD_LETTERING
        | {"x-dead-letter-routing-key": DEAD_LETTERS_QUEUE, "x-delivery-limit": DELIVERY_LIMIT}
    )
    return {
        DEAD_LETTERS_QUEUE: unlimited,
        HISTORY_QUEUE: unlimited | {"x-single-active-consumer": True},
        **dict.fromkeys(topology.work_queues, work),
    }


def _major(version: str) -> int:
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 3


class RabbitTopology:
    """Asserts `topology`, one caller at a time, on a channel of its own.

    Its methods raise `TopologyMismatch`, or `BrokerUnavailable` when RabbitMQ has not answered
    within `timeout` seconds.
    """

    def __init__(self, topology: Topology, timeout: float) -> None:
        self._topology = topology
        self._timeout = timeout
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._lock = asyncio.Lock()
        self._rungs: set[Rung] = set()

    async def attach(self, connection: AbstractConnection) -> None:
        """Use this connection from now on, and make everything there is to make."""
        self._connection, self._channel = connection, None
        await self._on_channel(self._assert_all, timeout=FIRST_ASSERT_TIMEOUT)

    async def assert_all(self) -> dict[str, int]:
        """Declare and bind everything, and the rungs of the ladder that were used. Returns how many
        consumers each queue has."""
        return await self._on_channel(self._assert_all)

    async def ensure_rung(self, rung: Rung) -> None:
        """Make a rung of the ladder before its first use."""
        if rung not in self._rungs:
            await self._on_channel(lambda channel: _assert_rung(channel, rung))
            self._rungs.add(rung)

    def doubt_rung(self, rung: Rung) -> None:
        """It took no message: look again before its next use."""
        self._rungs.discard(rung)

    async def depth(self, queue: str) -> int:
        async def count(channel: AbstractChannel) -> int:
            declared = await channel.declare_queue(queue, passive=True)
            return declared.declaration_result.message_count or 0

        return await self._on_channel(count)

    async def _on_channel(
        self, work: Callable[[AbstractChannel], Awaitable[T]], *, timeout: float | None = None
    ) -> T:
        async with self._lock:
            try:
                with driver_cancellations():
                    async with asyncio.timeout(self._timeout if timeout is None else timeout):
                        return await work(await self._open_channel())
            except CONNECTION_ERRORS as error:
                # half an answer may be on its way: the next one gets a fresh channel
                await self._drop_channel()
                if isinstance(error, ChannelPreconditionFailed):
                    raise _mismatch(error) from error
                raise BrokerUnavailable(f"RabbitMQ: {error!r}") from error

    async def _open_channel(self) -> AbstractChannel:
        if self._connection is None or self._connection.is_closed:
            raise BrokerUnavailable("no connection to RabbitMQ now")
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._connection.channel(publisher_confirms=False)
        return self._channel

    async def _drop_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await close_anyhow(channel)

    async def _assert_all(self, channel: AbstractChannel) -> dict[str, int]:
        consumers: dict[str, int] = {}
        tasks = await channel.declare_exchange(TASKS_EXCHANGE, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=True)
        for name, arguments in queue_arguments(self._topology, self._server_version()).items():
            queue = await channel.declare_queue(name, durable=True, arguments=arguments)
            consumers[name] = queue.declaration_result.consumer_count or 0
            for key in self._keys_of(name):
                await queue.bind(tasks, key)
        for rung in sorted(self._rungs, key=lambda rung: rung.seconds):
            await _assert_rung(channel, rung)
        return consumers

    def _keys_of(self, queue: str) -> tuple[str, ...]:
        if queue == HISTORY_QUEUE:
            return (*self._topology.work_queues, SCHEDULED_KEY)
        return (queue,) if queue in self._topology.work_queues else ()

    def _server_version(self) -> str:
        if self._connection is None:
            raise BrokerUnavailable("no connection to RabbitMQ now")
        properties: Mapping[str, Any] = raw_connection(self._connection).server_properties
        version = properties.get("version", "")
        return version.decode() if isinstance(version, bytes) else str(version)


async def _assert_rung(channel: AbstractChannel, rung: Rung) -> None:
    """Declare one level of the ladder: an exchange, and behind it a queue whose messages leave for
    the queue that their own routing key names."""
    exchange = await channel.declare_exchange(rung.name, ExchangeType.FANOUT, durable=True)
    queue = await channel.declare_queue(
        rung.name,
        durable=True,
        arguments=QUORUM | SAFE_DEAD_LETTERING | {"x-message-ttl": int(rung.seconds * 1000)},
    )
    await queue.bind(exchange)


def _mismatch(error: ChannelPreconditionFailed) -> TopologyMismatch:
    return TopologyMismatch(
        f"RabbitMQ has a queue or exchange of ours with other properties: {error}. Let it drain, "
        "delete it, and start again; it will be made anew."
    )
