"""Processes that die, freeze and lose answers, each at a call of our choosing.

A process is what shares one `Life`. Its ports are the product's own behind a `Mortal`: each call
passes the life before it takes effect and after, and there it may end.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.broker.base import Delivery, Message, PublishUnconfirmed
from infra.history.base import HistoryUnavailable
from infra.state.redis import StateUnavailable

Mode = Literal["before", "after", "unanswered"]
"""What happens at the write that was chosen: death before it takes effect, death after it, or
its answer is lost and the process lives on."""

WRITES = {
    "submit",
    "submit_all",
    "confirm",
    "claim",
    "write",
    "settle",
    "end",
    "restore",
    "call_off",
    "expire",
    "accept",
    "send",
    "record",
    "add_dead_letters",
    "passed",
    "ack",
    "release",
    "reserve",
    "accepted",
    "give_back",
}


class Unanswered(Exception):
    """The call took effect, and nobody heard of it."""


@dataclass
class Life:
    """One process: alive, frozen or dead."""

    name: str
    dead: bool = False
    over: bool = False
    """The test has ended: whoever still waits may go."""
    away: set[str] = field(default_factory=set)
    """Ports that are unreachable."""
    on_death: Callable[[], None] = lambda: None
    _left: int = 0
    _mode: Mode = "before"
    _thawed: asyncio.Event | None = None
    _limbo: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def frozen(self) -> bool:
        return self._thawed is not None

    def doom(self, writes: int, mode: Mode) -> None:
        """The fault comes at the write after so many."""
        self._left, self._mode = writes + 1, mode

    def die(self) -> None:
        if not self.dead:
            self.dead = True
            self.on_death()

    def freeze(self) -> None:
        self._thawed = self._thawed or asyncio.Event()

    def thaw(self) -> None:
        thawed, self._thawed = self._thawed, None
        if thawed is not None:
            thawed.set()

    async def gate(self) -> None:
        """Whoever is not alive does not get past here."""
        while self._thawed is not None and not self.over:
            await self._thawed.wait()
        if self.over:
            raise asyncio.CancelledError
        if self.dead:
            limbo = asyncio.get_running_loop().create_future()
            self._limbo.append(limbo)  # else it is collected as garbage, with a warning
            await limbo

    async def call(self, name: str, work: Callable[[], Any]) -> Any:
        chosen = False
        if name in WRITES and self._left:
            self._left -= 1
            chosen = self._left == 0
        if chosen and self._mode == "before":
            self.die()
        await self.gate()
        answer = await work()
        if chosen and self._mode == "after":
            self.die()
        await self.gate()
        if chosen and self._mode == "unanswered":
            raise Unanswered
        return answer


class Mortal:
    """A port in the hands of one process."""

    def __init__(self, life: Life, port: Any, away: Callable[[str], Exception]) -> None:
        self._life = life
        self._port = port
        self._away = away

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._life.gate()
            if type(self).__name__ in self._life.away:
                raise self._away(f"{type(self).__name__} is away")
            try:
                return await self._life.call(name, lambda: found(*args, **kwargs))
            except Unanswered:
                raise self._away(f"no answer to {name}") from None

        return call


class MortalState(Mortal):
    """Redis, as one process reaches it."""

    def __init__(self, life: Life, port: Any) -> None:
        super().__init__(life, port, StateUnavailable)


class MortalHistory(Mortal):
    """The database, as one process reaches it."""

    def __init__(self, life: Life, port: Any) -> None:
        super().__init__(life, port, HistoryUnavailable)


class MortalBroker(Mortal):
    """The broker, as one process reaches it. Remembers its subscriptions, to tear them away."""

    def __init__(self, life: Life, port: Any) -> None:
        super().__init__(life, port, PublishUnconfirmed)
        self.confirms_history = port.confirms_history
        self.subscriptions: list[Any] = []

    async def consume(self, queue: str, receive: Any, *, prefetch: int) -> Any:
        await self._life.gate()
        subscription = await self._port.consume(
            queue, lambda item: receive(MortalDelivery(self._life, item)), prefetch=prefetch
        )
        self.subscriptions.append(subscription)
        return subscription

    def reconnect(self) -> None:
        """The connection breaks, and is there again: what was unsettled is delivered anew."""
        for subscription in self.subscriptions:
            held, subscription._held = list(subscription._held.values()), {}
            for stored in reversed(held):
                subscription.queue.give_back(stored)


class MortalDelivery:
    """A message in the hands of one process."""

    def __init__(self, life: Life, delivery: Delivery) -> None:
        self._life = life
        self._delivery = delivery
        self.message: Message = delivery.message
        self.queue = delivery.queue
        self.count = delivery.count

    async def ack(self) -> None:
        await self._settle("ack", self._delivery.ack)

    async def release(self) -> None:
        await self._settle("release", self._delivery.release)

    async def _settle(self, name: str, work: Callable[[], Any]) -> None:
        with contextlib.suppress(Unanswered):  # nobody waits for an answer to these
            await self._life.call(name, work)
