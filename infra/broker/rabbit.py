"""RabbitMQ, by aio-pika: one connection, publishes that are confirmed or fail, at once.

Reconnecting is this module's own (a robust connection would let a publish wait for it, and hide
from a consumer that its deliveries are stale). Publishes go to the channel beneath aio-pika's: many
are in flight at once, each with its own confirm.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractChannel as RawChannel
from aiormq.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError
from pamqp.commands import Basic
from yarl import URL

from infra.broker.base import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    Message,
    PublishUnconfirmed,
    Receive,
    Subscription,
    Unroutable,
)
from infra.broker.rabbit_consumer import RabbitSubscription
from infra.broker.rabbit_topology import TopologyMismatch, assert_rung, assert_topology
from infra.broker.topology import EVENTS_EXCHANGE, TASKS_EXCHANGE, Rung, Topology, rung_for
from infra.settings import redact

HEARTBEAT = 10
CONNECT_TIMEOUT = 5.0
ASSERT_EVERY = 5.0
BLOCKED_LOOK = 0.25
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0

CONNECTION_ERRORS = (AMQPError, OSError, TimeoutError, ChannelInvalidStateError)

log = structlog.get_logger(__name__)


class RabbitBroker(Broker):
    """See `Broker`. Safe for many concurrent publishers on one event loop."""

    def __init__(self, url: str, *, publish_timeout: float, topology: Topology, name: str) -> None:
        self._urls = split_hosts(url)
        self._timeout = publish_timeout
        self._topology = topology
        self._name = name
        self._connection: AbstractConnection | None = None
        self._publisher: RawChannel | None = None
        self._setup: AbstractChannel | None = None
        self._setup_lock = asyncio.Lock()
        self._rungs: set[Rung] = set()
        self._ready = asyncio.Event()
        self._blocked = False
        self._closing = False
        self._subscriptions: list[RabbitSubscription] = []
        self._background: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        try:
            await self._connect()
        except TopologyMismatch:
            raise
        except (*CONNECTION_ERRORS, BrokerError) as error:
            await self._drop_connection()
            raise BrokerUnavailable(
                f"cannot reach RabbitMQ at {redact(str(self._urls[0]))}: {error!r}"
            ) from error
        self._keep(self._supervise())
        self._keep(self._assert_regularly())
        self._keep(self._watch_blocked())

    async def close(self) -> None:
        self._closing = True
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for subscription in self._subscriptions:
            await subscription.close()
        await self._drop_connection()

    async def accept(self, queue: str, message: Message) -> None:
        await self._publish(TASKS_EXCHANGE, queue, message)

    async def send(self, queue: str, message: Message, *, delay: float = 0.0) -> None:
        if delay <= 0:
            await self._publish("", queue, message)
            return
        rung = rung_for(delay)
        await self._ensure_rung(rung)
        await self._publish(rung.name, queue, message)

    async def announce(self, routing_key: str, message: Message) -> None:
        await self._publish(EVENTS_EXCHANGE, routing_key, message, mandatory=False)

    async def consume(self, queue: str, receive: Receive, *, prefetch: int) -> Subscription:
        subscription = RabbitSubscription(self._usable, queue, receive, prefetch)
        self._subscriptions.append(subscription)
        await subscription.start()
        return subscription

    async def depth(self, queue: str) -> int:
        async with self._setup_lock:
            channel = self._channel()
            try:
                declared = await channel.declare_queue(queue, passive=True)
            except CONNECTION_ERRORS as error:
                raise BrokerUnavailable(f"RabbitMQ: {error!r}") from error
        return declared.declaration_result.message_count or 0

    async def check(self) -> None:
        """Asserting the topology is the check, and the repair."""
        self._raw_publisher()
        await self._assert()

    async def _publish(
        self, exchange: str, routing_key: str, message: Message, *, mandatory: bool = True
    ) -> None:
        channel = self._raw_publisher()
        properties = Basic.Properties(
            delivery_mode=2,
            content_type="application/json",
            message_type=message.kind,
            message_id=uuid4().hex,  # a shared one makes returned messages look acknowledged
            correlation_id=message.correlation_id,
            headers=dict(message.headers) or None,
        )
        publish = self._keep(
            channel.basic_publish(
                message.body,
                exchange=exchange,
                routing_key=routing_key,
                properties=properties,
                mandatory=mandatory,
                timeout=self._timeout,
            )
        )
        try:
            await asyncio.shield(publish)
        except PublishError as error:
            raise Unroutable(
                f"no queue took a message for {routing_key!r} on exchange {exchange!r}"
            ) from error
        except DeliveryError as error:
            raise BrokerUnavailable(f"RabbitMQ refused a message for {routing_key!r}") from error
        except TimeoutError as error:
            raise PublishUnconfirmed(
                f"RabbitMQ did not confirm within {self._timeout:g} s"
            ) from error
        except CONNECTION_ERRORS as error:
            raise PublishUnconfirmed(f"the connection broke in mid-publish: {error!r}") from error

    def _raw_publisher(self) -> RawChannel:
        if self._blocked:
            raise BrokerUnavailable("RabbitMQ blocks publishers (memory or disk alarm)")
        channel = self._publisher
        if channel is None or channel.is_closed or not self._ready.is_set():
            raise BrokerUnavailable("no connection to RabbitMQ now")
        return channel

    def _channel(self) -> AbstractChannel:
        if self._setup is None or self._setup.is_closed or not self._ready.is_set():
            raise BrokerUnavailable("no connection to RabbitMQ now")
        return self._setup

    async def _usable(self) -> AbstractConnection:
        """The connection, once there is one."""
        await self._ready.wait()
        if self._connection is None:
            raise BrokerUnavailable("no connection to RabbitMQ now")
        return self._connection

    async def _ensure_rung(self, rung: Rung) -> None:
        if rung not in self._rungs:
            await self._with_setup_channel(lambda channel: assert_rung(channel, rung))
            self._rungs.add(rung)

    async def _assert(self) -> None:
        await self._with_setup_channel(lambda channel: assert_topology(channel, self._topology))

    async def _with_setup_channel(self, work: Callable[[AbstractChannel], Awaitable[None]]) -> None:
        async with self._setup_lock:
            channel = self._channel()
            try:
                async with asyncio.timeout(self._timeout):
                    await work(channel)
            except BrokerError:
                await self._renew_setup_channel()
                raise
            except CONNECTION_ERRORS as error:
                await self._renew_setup_channel()
                raise BrokerUnavailable(f"RabbitMQ: {error!r}") from error

    async def _renew_setup_channel(self) -> None:
        """An error has closed the channel; the connection may still be good."""
        if self._connection is None or self._connection.is_closed:
            return
        with contextlib.suppress(*CONNECTION_ERRORS):
            async with asyncio.timeout(self._timeout):
                self._setup = await self._connection.channel(publisher_confirms=False)

    async def _connect(self) -> None:
        failure: Exception | None = None
        for url in random.sample(self._urls, len(self._urls)):
            try:
                self._connection = await aio_pika.connect(
                    url.update_query(heartbeat=HEARTBEAT),
                    timeout=CONNECT_TIMEOUT,
                    client_properties={"connection_name": self._name},
                )
                break
            except CONNECTION_ERRORS as error:
                failure = error
        else:
            raise BrokerUnavailable(f"no host answers: {failure!r}") from failure
        async with asyncio.timeout(CONNECT_TIMEOUT * 3):
            self._setup = await self._connection.channel(publisher_confirms=False)
            await assert_topology(self._setup, self._topology)
            publisher = await self._connection.channel(
                publisher_confirms=True, on_return_raises=True
            )
            self._publisher = await publisher.get_underlay_channel()
        self._rungs.clear()
        self._blocked = False
        self._ready.set()

    async def _supervise(self) -> None:
        """Whenever the connection or the publisher's channel is gone, make everything anew."""
        while not self._closing:
            await self._until_broken()
            self._ready.clear()
            log.warning("broker_disconnected")
            await self._drop_connection()
            pause = FIRST_PAUSE
            while True:
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(pause * 2, LONGEST_PAUSE)
                try:
                    await self._connect()
                except (*CONNECTION_ERRORS, BrokerError) as error:
                    log.warning("broker_unreachable", error=repr(error))
                    await self._drop_connection()
                else:
                    log.info("broker_connected")
                    break

    async def _until_broken(self) -> None:
        if self._publisher is None:
            return
        with contextlib.suppress(*CONNECTION_ERRORS):
            await asyncio.shield(self._publisher.closing)

    async def _assert_regularly(self) -> None:
        while True:
            await asyncio.sleep(ASSERT_EVERY)
            if self._ready.is_set():
                try:
                    await self._assert()
                except BrokerError as error:
                    log.warning("topology_not_asserted", code=error.code, error=str(error))

    async def _watch_blocked(self) -> None:
        """RabbitMQ under an alarm says so once; whoever publishes then is told at once too."""
        while True:
            await asyncio.sleep(BLOCKED_LOOK)
            connection = self._connection
            if not self._ready.is_set() or connection is None or connection.is_closed:
                continue
            transport = connection.transport
            try:
                async with asyncio.timeout(BLOCKED_LOOK):
                    if transport is not None:
                        await transport.connection.ready()
            except TimeoutError:
                self._blocked = True
            else:
                self._blocked = False

    async def _drop_connection(self) -> None:
        connection, self._connection, self._publisher = self._connection, None, None
        self._ready.clear()
        if connection is not None:
            with contextlib.suppress(*CONNECTION_ERRORS, asyncio.CancelledError):
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await connection.close()

    def _keep(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have gone; whoever is there still gets it


def split_hosts(url: str) -> list[URL]:
    """`amqp://u:p@a:5672,b:5672/v` is one URL a host."""
    head, _, tail = url.partition("://")
    authority, slash, path = tail.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    return [URL(f"{head}://{credentials}{at}{host}{slash}{path}") for host in hosts.split(",")]
