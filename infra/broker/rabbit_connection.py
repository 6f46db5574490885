"""A connection to RabbitMQ that comes back by itself, on whichever host answers.

Not aio-pika's robust connection: that one lets a publish wait for it, hides from a consumer that
its deliveries are stale, and reconnects in step with every other process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractConnection as RawConnection
from aiormq.exceptions import AMQPError, ChannelInvalidStateError
from yarl import URL

from infra.broker.base import BrokerUnavailable
from infra.settings import redact

HEARTBEAT = 10
CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0

CONNECTION_ERRORS = (AMQPError, OSError, TimeoutError, ChannelInvalidStateError)
"""What a broken connection or channel shows itself by."""

Prepare = Callable[[AbstractConnection], Awaitable[None]]
"""Makes a fresh connection fit for use, before anybody gets it."""

log = structlog.get_logger(__name__)


class RabbitConnection:
    """`prepare` runs on each connection made; what it raises counts as not connected."""

    def __init__(self, urls: list[URL], name: str, prepare: Prepare) -> None:
        self._urls = urls
        self._name = name
        self._prepare = prepare
        self._connection: AbstractConnection | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect once, and from then on by itself. Raises what connecting raises."""
        try:
            await self._connect()
        except BaseException:
            await self._drop()
            raise
        self.supervise()

    def supervise(self) -> None:
        """Connect, now and whenever the connection is lost, behind the caller's back."""
        if self._supervisor is None:
            if not self._ready.is_set():
                self._lost.set()
            self._supervisor = asyncio.create_task(self._supervise(), name=self._name)

    async def close(self) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._drop()

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    async def wait(self) -> AbstractConnection:
        """The connection, as soon as there is one."""
        await self._ready.wait()
        if self._connection is None:
            raise BrokerUnavailable("no connection to RabbitMQ now")
        return self._connection

    async def _supervise(self) -> None:
        while True:
            await self._lost.wait()
            if self._ready.is_set():
                log.warning("broker_disconnected", connection=self._name)
            await self._drop()
            await self._reconnect()

    async def _reconnect(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._connect()
            except Exception as error:  # whatever it is, a supervisor goes on
                log.warning("broker_unreachable", connection=self._name, error=repr(error))
                await self._drop()
            else:
                log.info("broker_connected", connection=self._name)
                return
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _connect(self) -> None:
        lost = asyncio.Event()
        with driver_cancellations():
            connection = self._connection = await self._dial()
            raw_connection(connection).closing.add_done_callback(lambda _: lost.set())
            await self._prepare(connection)
        self._lost = lost
        self._ready.set()

    async def _dial(self) -> AbstractConnection:
        failures = []
        for url in random.sample(self._urls, len(self._urls)):
            try:
                return await aio_pika.connect(
                    url.update_query(heartbeat=HEARTBEAT),
                    timeout=CONNECT_TIMEOUT,
                    client_properties={"connection_name": self._name},
                )
            except CONNECTION_ERRORS as error:
                failures.append((f"{redact(str(url))}: {error!r}", error))
        raise BrokerUnavailable(
            "cannot reach RabbitMQ at " + "; ".join(text for text, _ in failures)
        ) from failures[-1][1]

    async def _drop(self) -> None:
        self._ready.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_anyhow(connection)


def raw_connection(connection: AbstractConnection) -> RawConnection:
    if connection.transport is None:
        raise BrokerUnavailable("no connection to RabbitMQ now")
    return connection.transport.connection


@contextmanager
def driver_cancellations() -> Iterator[None]:
    """The driver cancels whoever waits on a channel that it closes. To us that is a broken
    connection: only the task's own cancellation is one."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionResetError("the channel was closed") from error


async def close_anyhow(what: AbstractConnection | AbstractChannel) -> None:
    """Close what may be broken already: it is given up, however that ends."""
    closing = asyncio.ensure_future(what.close())
    done, _ = await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)
    if not done:
        closing.cancel()
    elif not closing.cancelled() and (error := closing.exception()) is not None:
        log.debug("close_failed", error=repr(error))


def split_hosts(url: str) -> list[URL]:
    """`amqp://u:p@a:5672,b:5672/v` is one URL a host."""
    head, _, tail = url.partition("://")
    authority, slash, path = tail.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    return [URL(f"{head}://{credentials}{at}{host}{slash}{path}") for host in hosts.split(",")]
