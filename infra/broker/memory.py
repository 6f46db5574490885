"""RabbitMQ's double in memory: real queues, prefetch, acks, redelivery, delays and dead letters.

`accept` returns when the history consumer has acknowledged its copy: the database is then the disk
that a confirm speaks of. One event loop; deliveries are handed out by it, never in a publisher's
own call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from infra.broker.base import (
    Broker,
    BrokerUnavailable,
    Delivery,
    Message,
    PublishUnconfirmed,
    Receive,
    StaleDelivery,
    Subscription,
    Unroutable,
)
from infra.broker.topology import (
    DEAD_LETTERS_QUEUE,
    DELIVERY_LIMIT,
    HISTORY_QUEUE,
    SCHEDULED_KEY,
    Topology,
    rung_for,
)


@dataclass(slots=True)
class _Stored:
    """A message in a queue; `confirm` is whoever waits for its acknowledgement."""

    message: Message
    count: int = 0
    confirm: asyncio.Future[None] | None = None


class MemoryDelivery:
    """A message in a consumer's hands."""

    def __init__(self, subscription: MemorySubscription, stored: _Stored) -> None:
        self._subscription = subscription
        self._stored = stored
        self.message = stored.message
        self.queue = subscription.queue.name
        self.count = stored.count

    async def ack(self) -> None:
        self._subscription.settle(self._stored)
        if (confirm := self._stored.confirm) is not None and not confirm.done():
            confirm.set_result(None)

    async def release(self) -> None:
        self._subscription.settle(self._stored)
        self._subscription.queue.give_back(self._stored)


class MemorySubscription:
    """A consumer of one queue."""

    def __init__(self, queue: MemoryQueue, receive: Receive, prefetch: int) -> None:
        self.queue = queue
        self._receive = receive
        self._prefetch = prefetch
        self._held: dict[int, _Stored] = {}
        self.consuming = True

    @property
    def has_room(self) -> bool:
        return self.consuming and len(self._held) < self._prefetch

    def take(self, stored: _Stored) -> None:
        self._held[id(stored)] = stored
        self._receive(MemoryDelivery(self, stored))

    def settle(self, stored: _Stored) -> None:
        if self._held.pop(id(stored), None) is None:
            raise StaleDelivery("this delivery is not held any more")
        self.queue.wake()

    async def cancel(self) -> None:
        self.consuming = False
        self.queue.drop(self)

    async def close(self) -> None:
        await self.cancel()
        held, self._held = list(self._held.values()), {}
        for stored in reversed(held):
            self.queue.give_back(stored)


class MemoryQueue:
    """First in, first out; what comes back goes to the front."""

    def __init__(self, broker: MemoryBroker, name: str, *, single: bool, limit: int | None) -> None:
        self._broker = broker
        self.name = name
        self._single = single
        self._limit = limit
        self._ready: deque[_Stored] = deque()
        self._consumers: deque[MemorySubscription] = deque()
        self._woken = False

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, stored: _Stored) -> None:
        self._ready.append(stored)
        self.wake()

    def give_back(self, stored: _Stored) -> None:
        stored.count += 1
        if self._limit is not None and stored.count > self._limit:
            self._broker.bury(stored)
            return
        self._ready.appendleft(stored)
        self.wake()

    def add(self, consumer: MemorySubscription) -> None:
        self._consumers.append(consumer)
        self.wake()

    def drop(self, consumer: MemorySubscription) -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)
            self.wake()

    def wake(self) -> None:
        """Hand out what can be handed out, on the loop's next turn."""
        if not self._woken and self._ready and self._consumers:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._woken = False
        while self._ready and (consumer := self._next()) is not None:
            consumer.take(self._ready.popleft())

    def _next(self) -> MemorySubscription | None:
        """Round robin; with a single active consumer the first one that came."""
        if self._single:
            first = self._consumers[0] if self._consumers else None
            return first if first is not None and first.has_room else None
        for _ in range(len(self._consumers)):
            consumer = self._consumers[0]
            self._consumers.rotate(-1)
            if consumer.has_room:
                return consumer
        return None


class MemoryBroker(Broker):
    """All queues of one process."""

    confirms_history = True

    def __init__(self, topology: Topology, publish_timeout: float) -> None:
        self._topology = topology
        self._timeout = publish_timeout
        self._queues: dict[str, MemoryQueue] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._subscriptions: list[MemorySubscription] = []
        self._confirms: set[asyncio.Future[None]] = set()
        self._open = False

    async def open(self) -> None:
        for name in self._topology.work_queues:
            self._queues[name] = MemoryQueue(self, name, single=False, limit=DELIVERY_LIMIT)
        self._queues[HISTORY_QUEUE] = MemoryQueue(self, HISTORY_QUEUE, single=True, limit=None)
        self._queues[DEAD_LETTERS_QUEUE] = MemoryQueue(
            self, DEAD_LETTERS_QUEUE, single=False, limit=None
        )
        self._open = True

    async def close(self) -> None:
        self._open = False
        for timer in self._timers:
            timer.cancel()
        for subscription in self._subscriptions:
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
            self._queues[HISTORY_QUEUE].put(_Stored(message, confirm=confirm))
            if queue != SCHEDULED_KEY:
                self._queues[queue].put(_Stored(message))
            async with asyncio.timeout(self._timeout):
                await confirm
        except TimeoutError:
            raise PublishUnconfirmed("history did not acknowledge in time") from None
        finally:
            self._confirms.discard(confirm)

    async def send(self, queue: str, message: Message, *, delay: float = 0.0) -> None:
        self._require_open()
        if queue not in self._queues:
            raise Unroutable(f"no queue {queue!r}")
        if delay <= 0:
            self._queues[queue].put(_Stored(message))
            return
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def arrive() -> None:
            self._timers.discard(timer)
            self._queues[queue].put(_Stored(message))

        timer = loop.call_later(rung_for(delay).seconds, arrive)
        self._timers.add(timer)

    async def announce(self, routing_key: str, message: Message) -> None:
        """Nobody outside this process could listen."""
        self._require_open()

    async def consume(self, queue: str, receive: Receive, *, prefetch: int) -> Subscription:
        self._require_open()
        subscription = MemorySubscription(self._queues[queue], receive, prefetch)
        self._subscriptions.append(subscription)
        self._queues[queue].add(subscription)
        return subscription

    async def depth(self, queue: str) -> int:
        return len(self._queues[queue])

    async def check(self) -> None:
        self._require_open()

    def bury(self, stored: _Stored) -> None:
        """The delivery limit: to the dead letters, as it is."""
        self._queues[DEAD_LETTERS_QUEUE].put(_Stored(stored.message))

    def _require_open(self) -> None:
        if not self._open:
            raise BrokerUnavailable("the memory broker is closed")


__all__ = ["Delivery", "MemoryBroker"]
