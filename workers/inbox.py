"""What the recorder has received and not written yet: what of it makes the next batch, and when.

An acceptance that waits for its task's end is never written by itself: a row costs the database the
same whether it is new or changed. So while much waits, ends go first, and acceptances are held back
for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass

from infra.broker.base import Delivery
from infra.broker.topology import HISTORY_QUEUE
from infra.envelope import KIND as ENVELOPE

PREFETCH = 1_000
BATCH = 1_000
BATCH_BYTES = 1_000_000
"""Messages of a batch, and their bytes: some thousand tasks. The larger it is, the more of them are
in it with both their acceptance and their end, and are written once."""

LINGER = 0.05
"""Seconds that a batch waits for company, so that a quick task is written once, ended."""

PACE = 0.2
"""Seconds from one batch to the next, unless a full one waits. A batch of ten costs the database
and this process nearly as much as one of a hundred, and tasks that run meanwhile wait for it."""

HELD_BACK = 2.0
"""Seconds that an acceptance is held back at most."""

MANY_BYTES = 200_000
"""Of acceptances that wait, from which on they are held back: some hundreds of tasks."""


def is_acceptance(delivery: Delivery) -> bool:
    """It says that tasks were accepted, and nothing of what became of them."""
    return delivery.message.kind == ENVELOPE and delivery.queue == HISTORY_QUEUE


@dataclass(slots=True)
class _Line:
    """Deliveries in their order, each with when it came, by the loop's clock."""

    waiting: deque[tuple[float, Delivery]]
    bytes: int = 0

    def put(self, came: float, delivery: Delivery) -> None:
        self.waiting.append((came, delivery))
        self.bytes += len(delivery.message.body)

    def take(self) -> tuple[float, Delivery]:
        came, delivery = self.waiting.popleft()
        self.bytes -= len(delivery.message.body)
        return came, delivery


class Inbox:
    """Deliveries on their way into batches. `linger`: nobody waits for the rows, so that they may
    wait for company."""

    def __init__(self, *, linger: bool) -> None:
        self._linger = linger
        self._acceptances, self._others = _Line(deque()), _Line(deque())
        self._some, self._full, self._finished = (asyncio.Event() for _ in range(3))
        self._finished.set()
        self._unfinished = 0
        self._next_at = 0.0
        self._hurried = False

    @property
    def age(self) -> float:
        """Seconds that the oldest has waited which is not held back, or not any more; 0 if there is
        none."""
        held = HELD_BACK if self._linger else 0.0
        due = [
            line.waiting[0][0] + wait
            for line, wait in ((self._others, 0.0), (self._acceptances, held))
            if line.waiting
        ]
        return max(0.0, _clock() - min(due)) if due else 0.0

    @property
    def hurried(self) -> bool:
        """All of it is to be seen to at once."""
        return self._hurried

    def put(self, delivery: Delivery) -> None:
        line = self._acceptances if is_acceptance(delivery) else self._others
        line.put(_clock(), delivery)
        self._unfinished += 1
        self._finished.clear()
        self._look()

    async def some(self) -> None:
        """Returns when anything waits."""
        await self._some.wait()

    async def batch(self) -> list[Delivery]:
        """The next ones to write: at least one, once it is time."""
        while True:
            await self.some()
            if self._linger:
                await self._company()
            if batch := self._take():
                return batch

    def done(self, count: int) -> None:
        """So many of those that were given out are seen to."""
        self._unfinished -= count
        if not self._unfinished:
            self._finished.set()

    def drop(self) -> None:
        """Forget what waits: it comes again."""
        for line in (self._acceptances, self._others):
            while line.waiting:
                line.take()
                self.done(1)
        self._look()

    async def finish(self, timeout: float) -> None:
        """Hold nothing back any more, and wait until all is seen to, or `timeout` seconds."""
        self._hurried = True
        self._look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._finished.wait()

    def _holds_back(self) -> bool:
        """Not for ever: what is held back takes places of the prefetch."""
        many = self._acceptances.bytes >= MANY_BYTES
        room = len(self._acceptances.waiting) + len(self._others.waiting) < PREFETCH // 2
        return self._linger and many and room and not self._hurried

    def _look(self) -> None:
        """Is there anything, and is it enough for a batch?"""
        lines = [self._others] if self._holds_back() else [self._others, self._acceptances]
        messages = sum(len(line.waiting) for line in lines)
        full = messages >= BATCH or sum(line.bytes for line in lines) >= BATCH_BYTES
        _set(self._full, full or self._hurried)
        _set(self._some, bool(self._others.waiting or self._acceptances.waiting))

    async def _company(self) -> None:
        """Wait until there is enough to write, or it is time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(max(_clock() + LINGER, self._next_at)):
                await self._full.wait()
        self._next_at = _clock() + PACE

    def _take(self) -> list[Delivery]:
        batch: list[Delivery] = []
        moment = _clock()
        latest = moment - HELD_BACK if self._holds_back() else moment
        size = 0
        for line, until in ((self._others, moment), (self._acceptances, latest)):
            while line.waiting and line.waiting[0][0] <= until:
                if len(batch) >= BATCH or size >= BATCH_BYTES:
                    break
                _, delivery = line.take()
                size += len(delivery.message.body)
                batch.append(delivery)
        self._look()
        return batch


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _set(event: asyncio.Event, value: bool) -> None:
    if value:
        event.set()
    else:
        event.clear()
