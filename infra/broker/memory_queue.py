"""A queue in memory and its consumers: first in, first out; what comes back goes to the front."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from infra.broker.base import Message, Receive, StaleDelivery


@dataclass(slots=True)
class Stored:
    """A message in a queue; `confirm` is whoever waits for its acknowledgement."""

    message: Message
    count: int = 0
    confirm: asyncio.Future[None] | None = None


class MemoryDelivery:
    """A message in a consumer's hands."""

    def __init__(self, subscription: MemorySubscription, stored: Stored) -> None:
        self._subscription = subscription
        self._stored = stored
        self._settled = False
        self.message = stored.message
        self.queue = subscription.queue.name
        self.count = stored.count

    async def ack(self) -> None:
        self._settle()
        if (confirm := self._stored.confirm) is not None and not confirm.done():
            confirm.set_result(None)

    async def release(self) -> None:
        self._settle()
        self._subscription.queue.give_back(self._stored)

    def _settle(self) -> None:
        # a released message may be held by the same subscription again, as another delivery
        if self._settled:
            raise StaleDelivery("this delivery was settled before")
        self._subscription.settle(self._stored)
        self._settled = True


class MemorySubscription:
    """A consumer of one queue."""

    def __init__(
        self,
        queue: MemoryQueue,
        receive: Receive,
        prefetch: int,
        forget: Callable[[MemorySubscription], None],
    ) -> None:
        self.queue = queue
        self._receive = receive
        self._prefetch = prefetch
        self._forget = forget
        self._held: dict[int, Stored] = {}
        self.consuming = True

    @property
    def has_room(self) -> bool:
        return self.consuming and len(self._held) < self._prefetch

    def take(self, stored: Stored) -> None:
        self._held[id(stored)] = stored
        self._receive(MemoryDelivery(self, stored))

    def settle(self, stored: Stored) -> None:
        if self._held.pop(id(stored), None) is None:
            raise StaleDelivery("its subscription was closed")
        self.queue.wake()

    async def cancel(self) -> None:
        self.consuming = False
        self.queue.drop(self)

    async def close(self) -> None:
        await self.cancel()
        held, self._held = list(self._held.values()), {}
        for stored in reversed(held):
            self.queue.give_back(stored)
        self._forget(self)


class MemoryQueue:
    """Hands out on the loop's next turn, never within a publisher's or a consumer's own call.

    With `single` only the consumer that came first gets anything. A message that came back more
    than `limit` times goes to `bury`.
    """

    def __init__(
        self, name: str, *, single: bool, limit: int | None, bury: Callable[[Stored], None]
    ) -> None:
        self.name = name
        self._single = single
        self._limit = limit
        self._bury = bury
        self._ready: deque[Stored] = deque()
        self._consumers: deque[MemorySubscription] = deque()
        self._woken = False

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, stored: Stored) -> None:
        self._ready.append(stored)
        self.wake()

    def give_back(self, stored: Stored) -> None:
        stored.count += 1
        if self._limit is not None and stored.count > self._limit:
            self._bury(stored)
            return
        self._ready.appendleft(stored)
        self.wake()

    @property
    def consumer_count(self) -> int:
        return len(self._consumers)

    def add(self, consumer: MemorySubscription) -> None:
        self._consumers.append(consumer)
        self.wake()

    def drop(self, consumer: MemorySubscription) -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)
            self.wake()

    def wake(self) -> None:
        if not self._woken and self._ready and self._consumers:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._woken = False
        while self._ready and (consumer := self._next()) is not None:
            consumer.take(self._ready.popleft())

    def _next(self) -> MemorySubscription | None:
        """Round robin among those with room."""
        if self._single:
            first = self._consumers[0] if self._consumers else None
            return first if first is not None and first.has_room else None
        for _ in range(len(self._consumers)):
            consumer = self._consumers[0]
            self._consumers.rotate(-1)
            if consumer.has_room:
                return consumer
        return None
