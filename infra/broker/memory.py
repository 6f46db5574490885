"""RabbitMQ's double in memory: real queues, prefetch, acks, redelivery, delays and dead letters.

`accept` returns when the history consumer has acknowledged its copy: the database is then the disk
that a confirm speaks of. Not thread-safe: everything happens on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from infra.broker.base import (
    Broker,
    BrokerUnavailable,
    Message,
    PublishUnconfirmed,
    Receive,
    Subscription,
    UnknownQueue,
    Unroutable,
)
from infra.broker.memory_queue import MemoryQueue, MemorySubscription, Stored
from infra.broker.topology import (
    DEAD_LETTERS_QUEUE,
    DELIVERY_LIMIT,
    HISTORY_QUEUE,
    SCHEDULED_KEY,
    Topology,
    rung_for,
)
from infra.broker.unserved import Unserved

Listener = Callable[[str, Message], None]
"""Takes an announcement: its routing key and the message. Called on the event loop."""


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]
"""Calls the function after so many seconds, unless its timer is cancelled."""


def _loop_timer(seconds: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, call)


class MemoryBroker(Broker):
    """All queues of one process. `call_later` is the delay ladder's clock: the event loop's own,
    which is monotonic, unless a test brings one."""

    confirms_history = True

    def __init__(
        self, topology: Topology, publish_timeout: float, *, call_later: CallLater = _loop_timer
    ) -> None:
        self._topology = topology
        self._timeout = publish_timeout
        self._call_later = call_later
        self._queues: dict[str, MemoryQueue] = {}
        self._unserved = Unserved()
        self._timers: set[Timer] = set()
        self._subscriptions: set[MemorySubscription] = set()
        self._confirms: set[asyncio.Future[None]] = set()
        self._listeners: list[Listener] = []
        self._open = False

    async def open(self) -> None:
        for name in self._topology.queues:
            self._queues[name] = MemoryQueue(
                name,
                single=name == HISTORY_QUEUE,
                limit=DELIVERY_LIMIT if name in self._topology.work_queues else None,
                bury=self._bury,
            )
        self._open = True

    async def close(self) -> None:
        self._open = False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for subscription in list(self._subscriptions):
            await subscription.close()
        for confirm in self._confirms:
            if not confirm.done():
                confirm.set_exception(PublishUnconfirmed("the broker was closed"))

    async def accept(self, queue: str, message: Message) -> None:
        self._require_open()
        if queue != SCHEDULED_KEY and queue not in self._topology.work_queues:
            raise Unroutable(f"no work queue {queue!r} is bound")
        confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirms.add(confirm)
        try:
            self._queues[HISTORY_QUEUE].put(Stored(message, confirm=confirm))
            if queue != SCHEDULED_KEY:
                self._queues[queue].put(Stored(message))
            async with asyncio.timeout(self._timeout):
                await confirm
        except TimeoutError:
            raise PublishUnconfirmed(
                f"history did not acknowledge within {self._timeout:g} s"
            ) from None
        finally:
            self._confirms.discard(confirm)

    async def send(self, queue: str, message: Message, *, delay: float = 0.0) -> None:
        self._require_open()
        if queue not in self._queues:
            raise Unroutable(f"no queue {queue!r}")
        if delay <= 0:
            self._queues[queue].put(Stored(message))
            return
        timer: Timer

        def arrive() -> None:
            self._timers.discard(timer)
            self._queues[queue].put(Stored(message))

        timer = self._call_later(rung_for(delay).seconds, arrive)
        self._timers.add(timer)

    async def announce(self, routing_key: str, *messages: Message) -> None:
        self._require_open()
        loop = asyncio.get_running_loop()
        for message in messages:
            for listener in self._listeners:
                loop.call_soon(listener, routing_key, message)

    def listen(self, listener: Listener) -> None:
        """Hear every announcement, as a queue bound to the events exchange by `#` would."""
        self._listeners.append(listener)

    async def consume(self, queue: str, receive: Receive, *, prefetch: int) -> Subscription:
        self._require_open()
        subscription = MemorySubscription(
            self._queue(queue), receive, prefetch, self._subscriptions.discard
        )
        self._subscriptions.add(subscription)
        self._queue(queue).add(subscription)
        return subscription

    async def depth(self, queue: str) -> int:
        self._require_open()
        return len(self._queue(queue))

    async def check(self) -> dict[str, float]:
        self._require_open()
        return self._unserved.look(
            {name: queue.consumer_count for name, queue in self._queues.items()}
        )

    def _queue(self, name: str) -> MemoryQueue:
        try:
            return self._queues[name]
        except KeyError:
            raise UnknownQueue(f"no queue {name!r}") from None

    def _bury(self, stored: Stored) -> None:
        """The delivery limit: to the dead letters, as it is."""
        self._queues[DEAD_LETTERS_QUEUE].put(Stored(stored.message))

    def _require_open(self) -> None:
        if not self._open:
            raise BrokerUnavailable("the memory broker is closed")
