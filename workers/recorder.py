"""The recorder: drains `history` and `dead_letters` into the database, in batches, idempotently.

A batch is acknowledged after its commit. While the database is away nothing is consumed; a row
that the database refuses is found by halving the batch, and goes to the dead letters alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

import structlog
from stepline.contract import Status

from infra.broker.base import BrokerError, Delivery, Message, Subscription
from infra.broker.topology import DEAD_LETTERS_QUEUE, HISTORY_QUEUE
from infra.codec import dumps, now
from infra.history.base import (
    DeadLetterRecord,
    HistoryRejected,
    HistoryUnavailable,
    TaskRecord,
)
from infra.state.redis import StateUnavailable
from workers.deadletter import bury, undecodable
from workers.engine import Engine, insist
from workers.entries import EntryReader
from workers.inbox import PREFETCH, Inbox
from workers.patience import ack

Load = Literal["idle", "busy", "crowded"]
"""What else the process does: nothing, it runs tasks, or tasks wait until it has time for them."""

MAKES_WAY = 2.0
"""How long the recorder lets running tasks go first after a batch, in times of what that took: what
somebody waits for comes before what is written for good. Where tasks wait it lets all of them."""

LATEST = 2.0
"""Seconds that a message may have waited here, beyond which the recorder makes way for nobody."""

LOOK_EVERY = 0.02

READ_AT_ONCE, READ_AT_ONCE_LATE = 16, 256
"""Records that are read without letting others have the event loop; the second when it is late: in
a crowd it takes a while until its next turn."""

AWAY_PAUSE = 1.0
FINISH_TIMEOUT = 5.0

TERMINAL_EVENTS = {
    Status.SUCCESS: "succeeded",
    Status.FAILURE: "failed",
    Status.CANCELLED: "cancelled",
}

log = structlog.get_logger(__name__)

Row = TypeVar("Row")


class Recorder:
    """Runs inside a worker process; of all of them one is active at a time."""

    def __init__(
        self, engine: Engine, *, state_ttl: int, load: Callable[[], Load] = lambda: "idle"
    ) -> None:
        """`load` is that of this process' tasks, which the recorder makes way for."""
        self._engine = engine
        self._state_ttl = state_ttl
        self._load = load
        self._awaited = engine.broker.confirms_history
        self._inbox = Inbox(linger=not self._awaited)
        self._reader = EntryReader(engine)
        self._subscriptions: list[Subscription] = []
        self._loop: asyncio.Task[None] | None = None
        self._away = False
        self._batches: set[asyncio.Task[None]] = set()
        self._took = 0.0
        """Seconds from the beginning of the last batch to its end."""
        self._unexpired: list[str] = []

    async def start(self) -> None:
        await self._consume()
        self._loop = asyncio.create_task(self._run(), name="recorder")

    async def stop(self) -> None:
        """Finish the batches in hand; the rest goes back to the queue."""
        for subscription in self._subscriptions:
            await subscription.cancel()
        if self._loop is not None:
            if not self._loop.done():
                await self._inbox.finish(FINISH_TIMEOUT)
            for task in (self._loop, *self._batches):
                task.cancel()
            stopped = await asyncio.gather(self._loop, *self._batches, return_exceptions=True)
            for error in stopped:
                if isinstance(error, Exception):
                    log.error("recorder_broke", exc_info=error)
        for subscription in self._subscriptions:
            await subscription.close()

    async def _consume(self) -> None:
        self._subscriptions = [
            await self._engine.broker.consume(queue, self._inbox.put, prefetch=PREFETCH)
            for queue in (HISTORY_QUEUE, DEAD_LETTERS_QUEUE)
        ]

    async def _run(self) -> None:
        """Where nobody needs the time more, one batch is prepared while another is written."""
        while True:
            await self._inbox.some()
            await self._make_way()
            if len(self._batches) > 1:
                await asyncio.wait(self._batches, return_when=asyncio.FIRST_COMPLETED)
            deliveries = await self._inbox.batch()
            seeing = self._see_to(deliveries, before=tuple(self._batches))
            batch = asyncio.create_task(seeing, name="recorder-batch")
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)

    async def _make_way(self) -> None:
        if self._load() == "idle" or self.is_late:
            return
        if self._batches:
            await asyncio.wait(self._batches)
        clock = asyncio.get_running_loop().time
        until = clock() + self._took * MAKES_WAY
        while (load := self._load()) != "idle" and not self.is_late:
            if clock() >= until and (load == "busy" or self._awaited):
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _see_to(
        self, deliveries: Sequence[Delivery], *, before: Sequence[asyncio.Task[None]]
    ) -> None:
        clock = asyncio.get_running_loop().time
        began, subscriptions = clock(), self._subscriptions
        try:
            await self._work(deliveries, before)
            self._took = clock() - began
        except HistoryUnavailable as error:
            log.warning("history_away", error=str(error), waiting=len(deliveries))
            if self._subscriptions is subscriptions and not self._away:
                await self._wait_for_history()
        except (Exception, asyncio.CancelledError):
            if (this := asyncio.current_task()) is not None and this.cancelling():
                raise
            log.exception("recorder_failed", batch=len(deliveries))
            await asyncio.sleep(AWAY_PAUSE)
            for delivery in deliveries:
                with contextlib.suppress(BrokerError):
                    await delivery.release()
        finally:
            self._inbox.done(len(deliveries))

    @property
    def is_late(self) -> bool:
        """It makes way for nobody."""
        return self._inbox.hurried or self._inbox.age >= LATEST

    async def _wait_for_history(self) -> None:
        """Give everything back, and begin again on fresh channels when the database answers."""
        self._away = True
        try:
            for subscription in self._subscriptions:
                await subscription.close()
            self._inbox.drop()
            while not await self._begin_again():
                pass
        finally:
            self._away = False
        log.info("history_back")

    async def _begin_again(self) -> bool:
        await asyncio.sleep(AWAY_PAUSE)
        try:
            await self._engine.history.check()
            await self._consume()
        except (HistoryUnavailable, BrokerError):
            return False
        return True

    async def _work(
        self, deliveries: Sequence[Delivery], before: Sequence[asyncio.Task[None]]
    ) -> None:
        at_once = READ_AT_ONCE_LATE if self.is_late else READ_AT_ONCE
        entries = await self._reader.read_all(deliveries, at_once)
        records = [record for entry in entries for record in entry.records]
        letters = [letter for entry in entries for letter in entry.letters]
        if records:
            await self._write(records, self._engine.history.record, self._refuse_record)
        if letters:
            await self._write(letters, self._engine.history.add_dead_letters, _drop_letter)
        self._measure(records, letters)
        await self._expire([record.id for record in records if record.status.ended])
        for entry in entries:
            if entry.barrier is not None:
                if before:  # what came before it has to be written
                    await asyncio.wait(before)
                await self._engine.barriers.passed(entry.barrier, HISTORY_QUEUE)
        # together: a stale one comes again, and the upsert bears that
        await asyncio.gather(*(ack(entry.delivery) for entry in entries))
        await self._announce(records)

    def _measure(self, records: Sequence[TaskRecord], letters: Sequence[DeadLetterRecord]) -> None:
        metrics = self._engine.metrics
        if records:
            metrics.history_rows.inc(len(records))
            newest = max(record.updated_at for record in records)
            metrics.history_lag.set(max(0.0, (now() - newest).total_seconds()))
        for letter in letters:
            metrics.dead_letters.labels(letter.reason).inc()

    async def _write(
        self,
        rows: list[Row],
        write: Callable[[Sequence[Row]], Awaitable[None]],
        refuse: Callable[[Row, HistoryRejected], Awaitable[None]],
    ) -> None:
        try:
            await write(rows)
        except HistoryRejected as error:
            if len(rows) == 1:
                await refuse(rows[0], error)
                return
            half = len(rows) // 2
            await self._write(rows[:half], write, refuse)
            await self._write(rows[half:], write, refuse)

    async def _refuse_record(self, record: TaskRecord, error: HistoryRejected) -> None:
        log.error("record_refused", task_id=record.id, error=str(error))
        message = Message("record", dumps(record), correlation_id=record.id)
        letter = undecodable(HISTORY_QUEUE, message, "history_refused", str(error))
        await insist(lambda: bury(self._engine.broker, letter))
        if record.tells_all:  # the acceptance was left out in its favour
            bare = replace(record, payload=None, result=None, error=None, attempts=[])
            with contextlib.suppress(HistoryRejected):
                await self._engine.history.record([bare])

    async def _expire(self, ended: list[str]) -> None:
        """What history has may leave Redis, after its time."""
        ended, self._unexpired = self._unexpired + ended, []
        if not ended:
            return
        try:
            await self._engine.state.expire(ended, self._state_ttl)
        except StateUnavailable as error:
            log.warning("expiry_postponed", tasks=len(ended), error=str(error))
            self._unexpired += ended

    async def _announce(self, records: Sequence[TaskRecord]) -> None:
        """Tell outside services; whether they listen, or their queue is full, is no matter here."""
        news: dict[str, list[Message]] = defaultdict(list)
        for record in records:
            if (event := TERMINAL_EVENTS.get(record.status)) is not None:
                news[f"{record.type}.{event}"].append(_announcement(record))
        for key, messages in news.items():
            try:
                await self._engine.broker.announce(key, *messages)
            except BrokerError as error:
                log.warning("announcement_failed", key=key, tasks=len(messages), error=str(error))


def _announcement(record: TaskRecord) -> Message:
    body = {
        "task_id": record.id,
        "type": record.type,
        "status": record.status,
        "finished_at": record.finished_at,
        "error": record.error,
    }
    return Message("event", dumps(body), correlation_id=record.id)


async def _drop_letter(letter: DeadLetterRecord, error: HistoryRejected) -> None:
    """There is no place left for it but the log."""
    log.error(
        "dead_letter_refused",
        id=letter.id,
        reason=letter.reason,
        body=letter.body[:2_000].decode(errors="replace"),
        error=str(error),
    )
