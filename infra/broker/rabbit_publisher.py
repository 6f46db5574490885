"""Publishing: one long-lived confirm channel, many publishes in flight, each with its own confirm.

It uses the channel beneath aio-pika's, which maps each confirm and each returned message to its
publish without an exchange object and a message object in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast
from uuid import uuid4

import structlog
from aiormq import Channel as RawChannel
from aiormq.abc import AbstractConnection as RawConnection
from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic

from infra.broker.base import BrokerUnavailable, Message, PublishUnconfirmed, Unroutable
from infra.broker.rabbit_connection import CONNECTION_ERRORS, driver_cancellations

PERSISTENT = 2

log = structlog.get_logger(__name__)


class RabbitPublisher:
    """`timeout` in seconds is how long a publish may wait for its confirm. `on_lost` is called
    when the channel has gone, with or without its connection."""

    def __init__(self, timeout: float, on_lost: Callable[[], None]) -> None:
        self._timeout = timeout
        self._on_lost = on_lost
        self._connection: RawConnection | None = None
        self._channel: RawChannel | None = None
        self._in_flight: set[asyncio.Task[object]] = set()

    async def attach(self, connection: RawConnection) -> None:
        """Publish by a channel of this connection from now on."""
        opened = await connection.channel(publisher_confirms=True, on_return_raises=True)
        channel = cast(RawChannel, opened)  # the abstract one does not know `wait`
        channel.closing.add_done_callback(lambda _: self._on_lost())
        self._connection, self._channel = connection, channel

    async def mend(self) -> None:
        """A new channel where only the channel was lost (an exchange was deleted, say)."""
        connection, channel = self._connection, self._channel
        if connection is None or channel is None:
            return
        if channel.is_closed and connection.is_opened:
            log.warning("publisher_channel_lost")
            with driver_cancellations():
                async with asyncio.timeout(self._timeout):
                    await self.attach(connection)

    async def close(self) -> None:
        """Refuse new publishes, and wait for those in flight."""
        self._connection = self._channel = None
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    def require(self) -> RawChannel:
        """The channel. Raises `BrokerUnavailable` unless a publish could be confirmed now."""
        connection, channel = self._connection, self._channel
        if connection is None or channel is None or channel.is_closed or not connection.is_opened:
            raise BrokerUnavailable("no connection to RabbitMQ now")
        if _is_blocked(connection):
            raise BrokerUnavailable("RabbitMQ blocks publishers (memory or disk alarm)")
        return channel

    async def publish(self, exchange: str, routing_key: str, message: Message) -> None:
        """Returns when confirmed. A caller that is cancelled leaves the publish to finish."""
        publish: asyncio.Task[object] = asyncio.ensure_future(
            self.require().basic_publish(
                message.body,
                exchange=exchange,
                routing_key=routing_key,
                properties=_properties(message),
                mandatory=True,
                timeout=self._timeout,
                wait=False,  # for the socket, with all others behind it: the confirm is enough
            )
        )
        self._in_flight.add(publish)
        publish.add_done_callback(self._landed)
        try:
            with driver_cancellations():
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

    def _landed(self, publish: asyncio.Task[object]) -> None:
        self._in_flight.discard(publish)
        if not publish.cancelled() and (error := publish.exception()) is not None:
            # its caller raises it too, unless it has gone
            log.debug("publish_failed", error=repr(error))


def _properties(message: Message) -> Basic.Properties:
    return Basic.Properties(
        delivery_mode=PERSISTENT,
        content_type="application/json",
        message_type=message.kind,
        message_id=uuid4().hex,  # a shared one makes returned messages look acknowledged
        correlation_id=message.correlation_id,
        headers=dict(message.headers) or None,
    )


def _is_blocked(connection: RawConnection) -> bool:
    """Has RabbitMQ said `connection.blocked`? The driver shows it only by making `ready()` wait,
    so begin that wait, see whether it would last, and give it up."""
    ready = connection.ready().__await__()
    try:
        next(ready)
    except StopIteration:
        return False
    ready.close()
    return True
