"""One delivery, from the broker's hand back into it: decode, work its tasks off, settle it.

The order is the promise: the end is in Redis before the outcome goes to history, the outcome is
confirmed before the delivery is acknowledged. A crash between any two of these leaves a delivery
that comes again, and every step of the repetition is a no-op or goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from handlers.registry import UnknownName
from infra.broker.base import Delivery
from infra.envelope import BadEnvelope, Envelope, TaskMessage, UnknownVersion, read_envelope
from workers.chunk import Chunk
from workers.deadletter import bury, undecodable
from workers.engine import Engine, insist
from workers.holding import Holding
from workers.patience import ack, release, while_away
from workers.places import Places
from workers.rescue import KIND as BARRIER
from workers.rescue import barrier_of
from workers.task_runner import TaskRunner

UNKNOWN_FOR = 600.0
"""Seconds that a message of a type or version unknown here waits for a deploy to finish."""

UNKNOWN_DELAY = 4.0

CHUNK_PLACES = 64
"""Tasks of one chunk that are in hand at once; and so many that a process has in hand of a queue
beyond its concurrency, all in all: chunks go on while long tasks fill every slot. Of those that run
in turn, because they do not wait, no more are claimed and not run yet: they would gain nothing, and
whoever else lives by this event loop would come to its turn less often. Those that have run, and
wait for their end to be written, let the next ones begin."""

SPLIT_AT = 2
"""Redeliveries after which the tasks of a chunk travel alone."""

FIRST_SEEN = "first_seen"

log = structlog.get_logger(__name__)


class Processor:
    """Takes deliveries to their end. One for all queues of a process."""

    def __init__(
        self, engine: Engine, concurrency: int, *, spares_turns: Callable[[], bool] = lambda: False
    ) -> None:
        """`concurrency` is how many deliveries of one queue it is given at once, at most.
        `spares_turns` says when others need this process: a turn then lasts until the task's end
        is written, so that fewer are under way."""
        self._engine = engine
        self.holding = Holding(engine)
        self._runner = TaskRunner(engine, self.holding)
        self._spares_turns = spares_turns
        self._waiting_types: set[str] = set()
        self._places: defaultdict[str, Places] = defaultdict(
            lambda: Places(concurrency + CHUNK_PLACES)
        )
        """For the tasks in hand, by queue."""
        self._turns = Places(CHUNK_PLACES)
        """For those that are to run out of chunks that run in turn."""

    @property
    def crowded(self) -> bool:
        """Do tasks that need nothing but this process' time wait for it?"""
        return self._turns.wanted

    async def process(self, delivery: Delivery) -> None:
        """Work a delivery off, and settle it."""
        if delivery.message.kind == BARRIER:
            barrier = barrier_of(delivery.message)
            await while_away(lambda: self._engine.barriers.passed(barrier, delivery.queue))
            await ack(delivery)
            return
        try:
            envelope = read_envelope(delivery.message)
            for task in envelope.tasks:
                self._engine.registry.type(task.type)
                for name in task.handlers:
                    self._engine.registry.handler(name)
        except BadEnvelope as error:
            letter = undecodable(delivery.queue, delivery.message, error.code, error.message)
            await insist(lambda: bury(self._engine.broker, letter))
            await ack(delivery)
        except UnknownVersion as error:
            await self._unknown(delivery, error.code, error.message)
        except UnknownName as error:
            if len(envelope.tasks) > 1:  # the others are not to wait for it
                await self._send_singly(envelope, envelope.tasks, delivery)
            else:
                await self._unknown(delivery, error.code, error.message)
        else:
            if len(envelope.tasks) == 1:
                await self._single(envelope, delivery)
            else:
                await self._chunk(envelope, delivery)

    async def _unknown(self, delivery: Delivery, code: str, text: str) -> None:
        """A deploy may be under way: another worker may know it, or this one soon."""
        seen = float(delivery.message.headers.get(FIRST_SEEN, 0)) or time.time()
        if time.time() - seen < UNKNOWN_FOR:
            log.warning("unknown_message", code=code, error=text, queue=delivery.queue)
            message = replace(delivery.message, headers={FIRST_SEEN: repr(seen)})
            await self._engine.send(delivery.queue, message, UNKNOWN_DELAY)
        else:
            letter = undecodable(delivery.queue, delivery.message, code, text)
            await insist(lambda: bury(self._engine.broker, letter))
            with contextlib.suppress(UnknownVersion):
                for task in read_envelope(delivery.message).tasks:
                    await self._runner.fail_unknown(delivery.queue, task, code, text)
        await ack(delivery)

    async def _single(self, envelope: Envelope, delivery: Delivery) -> None:
        """It has its slot: no chunk makes it wait, unless the process is full of them."""
        try:
            async with self._places[envelope.queue].taken(first=True):
                if not self.holding.draining:
                    await self._runner.take(envelope, envelope.tasks[0], delivery)
                    return
        except asyncio.CancelledError:
            if not self.holding.draining:
                raise
        await release(delivery)

    async def _chunk(self, envelope: Envelope, delivery: Delivery) -> None:
        """Several tasks in one message. One that came back is worked off one task at a time, and
        then split: a poisonous task takes no neighbour along."""
        tasks = envelope.tasks
        if delivery.count >= SPLIT_AT:
            await self._send_singly(envelope, tasks, delivery)
            return
        size = 1 if delivery.count else CHUNK_PLACES
        rest: list[TaskMessage] = []
        try:
            for start in range(0, len(tasks), size):
                rest += await self._part(Envelope(envelope.queue, tasks[start : start + size]))
        except asyncio.CancelledError:
            if not self.holding.draining:
                raise
            await release(delivery)  # whoever gets it finds what has ended, ended
            return
        await self._send_singly(envelope, rest, delivery)

    async def _part(self, part: Envelope) -> Sequence[TaskMessage]:
        """Some tasks of a chunk; returns those that are handed over."""
        count, waits = len(part.tasks), self._waiting_types.issuperset(_types_of(part))
        async with (
            self._turns.taken(0 if waits else count, first=waits) as give_turn,
            self._places[part.queue].taken(count) as give_place,
        ):
            if self.holding.draining:
                return part.tasks
            if count == 1:
                (task,) = part.tasks
                return part.tasks if await self._runner.take(part, task, None) else ()
            taken = _Taken(give_turn, give_place, self._spares_turns)
            chunk = Chunk(
                self._runner,
                part,
                on_turn_over=taken.turn_over,
                on_end=taken.end,
                waiting_types=self._waiting_types,
            )
            return await chunk.work()

    async def _send_singly(
        self, envelope: Envelope, tasks: Sequence[TaskMessage], delivery: Delivery
    ) -> None:
        """In the place of the message: these of its tasks, each in one of its own."""
        for task in tasks:
            await self._engine.send(envelope.queue, envelope.single(task).message())
        await ack(delivery)


class _Taken:
    """The turns and places of a chunk, which are given back one by one."""

    def __init__(
        self,
        give_turn: Callable[[], None],
        give_place: Callable[[], None],
        spares_turns: Callable[[], bool],
    ) -> None:
        self._give_turn = give_turn
        self._give_place = give_place
        self._spares_turns = spares_turns
        self._turns_given = self._ended = 0

    def turn_over(self) -> None:
        """A task has run."""
        if not self._spares_turns():
            self._turns_given += 1
            self._give_turn()

    def end(self) -> None:
        """A task has ended: no turn is kept that no task needs any more."""
        self._ended += 1
        self._give_place()
        if self._turns_given < self._ended:
            self._turns_given += 1
            self._give_turn()


def _types_of(envelope: Envelope) -> set[str]:
    return {task.type for task in envelope.tasks}
