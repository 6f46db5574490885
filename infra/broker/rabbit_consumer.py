"""A consumer on a channel of its own that comes back by itself, always on a fresh channel.

It uses the channel beneath aio-pika's, which hands a message over without a message object and a
task of its own in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractChannel as RawChannel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelNotFoundEntity

from infra.broker.base import BrokerError, Message, Receive
from infra.broker.rabbit_acks import InHand
from infra.broker.rabbit_connection import CONNECTION_ERRORS, close_anyhow, driver_cancellations

CALL_TIMEOUT = 10.0
START_TIMEOUT = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
DEAF_AFTER = 2
"""Looks at the topology in a row."""

log = structlog.get_logger(__name__)


class RabbitDelivery:
    """A message in hand, on the channel that brought it."""

    def __init__(self, queue: str, incoming: DeliveredMessage, in_hand: InHand) -> None:
        properties = incoming.header.properties
        headers = properties.headers or {}
        if (tag := incoming.delivery_tag) is None:  # and 0 would stand for all in hand
            raise TypeError(f"no delivery: {incoming.delivery!r}")
        self._tag = tag
        self._in_hand = in_hand
        in_hand.add(tag)
        self.queue = queue
        self.count = delivered_before(headers, redelivered=bool(incoming.redelivered))
        self.message = Message(
            kind=properties.message_type or "",
            body=incoming.body,
            correlation_id=properties.correlation_id,
            headers={
                name: value
                for name, value in headers.items()
                if isinstance(value, str | int) and not name.startswith("x-")
            },
        )

    async def ack(self) -> None:
        await self._in_hand.ack(self._tag)

    async def release(self) -> None:
        await self._in_hand.release(self._tag)


def delivered_before(headers: Mapping[str, Any], *, redelivered: bool) -> int:
    """How often a message was handed out before. RabbitMQ 4.3 tells failures from hand-outs and
    has a header for each; before it there was one; without either there is a flag."""
    counts = [headers.get("x-delivery-count"), headers.get("x-acquired-count")]
    known = [count for count in counts if isinstance(count, int)]
    return max(known) if known else int(redelivered)


class RabbitSubscription:
    """Consumes one queue for as long as it is not cancelled.

    `connection` waits for a usable one; `restore` makes a deleted queue again; `forget` is called
    at the end.
    """

    def __init__(
        self,
        connection: Callable[[], Awaitable[AbstractConnection]],
        queue: str,
        receive: Receive,
        prefetch: int,
        *,
        restore: Callable[[], Awaitable[object]],
        forget: Callable[[RabbitSubscription], None],
    ) -> None:
        self._connection = connection
        self._queue_name = queue
        self._receive = receive
        self._prefetch = prefetch
        self._restore = restore
        self._forget = forget
        self._channel: AbstractChannel | None = None
        self._raw: RawChannel | None = None
        self._tag = ""
        self._runner: asyncio.Task[None] | None = None
        self._ended: asyncio.Event | None = None
        self._unknown = 0

    @property
    def queue(self) -> str:
        return self._queue_name

    def is_known(self, known: bool) -> None:
        """Does the broker know of a consumer of this queue? If it says no again and again while
        this one believes that it consumes, it begins anew."""
        consuming = self._ended is not None and not self._ended.is_set()
        self._unknown = 0 if known or not consuming else self._unknown + 1
        if self._unknown >= DEAF_AFTER and self._ended is not None:
            log.warning("consumer_deaf", queue=self._queue_name)
            self._unknown = 0
            self._ended.set()

    async def start(self) -> None:
        """Returns when the first consumer is registered; a failure is tried again behind."""
        consuming = asyncio.Event()
        self._runner = asyncio.create_task(self._run(consuming), name=f"consume {self._queue_name}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT):
                await consuming.wait()

    async def cancel(self) -> None:
        await self._stop_runner()
        raw, self._raw, self._ended = self._raw, None, None
        if raw is not None:
            with contextlib.suppress(*CONNECTION_ERRORS), driver_cancellations():
                async with asyncio.timeout(CALL_TIMEOUT):
                    await raw.basic_cancel(self._tag)

    async def close(self) -> None:
        await self._stop_runner()
        await self._drop_channel()
        self._forget(self)

    async def _stop_runner(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _run(self, consuming: asyncio.Event) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                with driver_cancellations():
                    ended = await self._consume()
                consuming.set()
                pause = FIRST_PAUSE
                await ended.wait()
                log.warning("consumer_lost", queue=self._queue_name)
            except (*CONNECTION_ERRORS, BrokerError) as error:
                log.warning("consumer_lost", queue=self._queue_name, error=repr(error))
            except Exception:  # a surprise must not end a consumer for good
                log.exception("consumer_lost", queue=self._queue_name)
            await self._drop_channel()
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _consume(self) -> asyncio.Event:
        """Consume on a fresh channel; returns what is set when that has ended."""
        connection = await self._connection()
        self._ended = ended = asyncio.Event()
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                self._channel = await connection.channel(publisher_confirms=False)
                self._raw = raw = await self._channel.get_underlay_channel()
                await raw.basic_qos(prefetch_count=self._prefetch)
                raw.closing.add_done_callback(lambda _: ended.set())
                # the broker cancels a consumer whose queue was deleted; the channel stays open
                raw.on_consumer_cancel_callbacks.add(lambda _: ended.set())
                take = partial(self._take, InHand(raw))
                self._tag = (await raw.basic_consume(self._queue_name, take)).consumer_tag or ""
        except ChannelNotFoundEntity:
            await self._restore()
            raise
        return ended

    async def _take(self, in_hand: InHand, incoming: DeliveredMessage) -> None:
        self._receive(RabbitDelivery(self._queue_name, incoming, in_hand))

    async def _drop_channel(self) -> None:
        channel, self._channel, self._raw = self._channel, None, None
        if channel is not None:
            await close_anyhow(channel)
