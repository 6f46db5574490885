"""The recorder: drains `history` and `dead_letters` into the database, in batches, idempotently.

A batch is acknowledged after its commit. While the database is away nothing is consumed; a row
that the database refuses is found by halving the batch, and goes to the dead letters alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from stepline.contract import Status

from infra.broker.base import BrokerError, Delivery, Message, StaleDelivery, Subscription
from infra.broker.topology import DEAD_LETTERS_QUEUE, HISTORY_QUEUE
from infra.codec import dumps, now
from infra.envelope import KIND as ENVELOPE
from infra.envelope import BadEnvelope, UnknownVersion, read_envelope
from infra.history.base import (
    DeadLetterRecord,
    HistoryRejected,
    HistoryUnavailable,
    TaskRecord,
)
from infra.records import BadRecord, accepted_records, read_record
from infra.state.redis import StateUnavailable
from workers.deadletter import KIND as DEAD
from workers.deadletter import bury, read_letter, undecodable
from workers.engine import Engine, insist
from workers.rescue import KIND as BARRIER
from workers.rescue import barrier_of

PREFETCH = 1_000
BATCH = 250
LINGER = 0.05
"""Seconds that a batch waits for company, so that a quick task is written once, ended."""

AWAY_PAUSE = 1.0

TERMINAL_EVENTS = {
    Status.SUCCESS: "succeeded",
    Status.FAILURE: "failed",
    Status.CANCELLED: "cancelled",
}

log = structlog.get_logger(__name__)

Row = TypeVar("Row")


@dataclass(slots=True)
class Entry:
    """A delivery, and what it says."""

    delivery: Delivery
    records: list[TaskRecord] = field(default_factory=list)
    letters: list[DeadLetterRecord] = field(default_factory=list)
    barrier: str | None = None


class Recorder:
    """Runs inside a worker process; of all of them one is active at a time."""

    def __init__(self, engine: Engine, *, state_ttl: int) -> None:
        self._engine = engine
        self._state_ttl = state_ttl
        self._linger = 0.0 if engine.broker.confirms_history else LINGER
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []
        self._loop: asyncio.Task[None] | None = None
        self._unexpired: list[str] = []

    async def start(self) -> None:
        await self._consume()
        self._loop = asyncio.create_task(self._run(), name="recorder")

    async def stop(self) -> None:
        """Finish the batch in hand; the rest goes back to the queue."""
        for subscription in self._subscriptions:
            await subscription.cancel()
        if self._loop is not None:
            if not self._loop.done():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._waiting.join(), timeout=5.0)
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        for subscription in self._subscriptions:
            await subscription.close()

    async def _consume(self) -> None:
        self._subscriptions = [
            await self._engine.broker.consume(queue, self._waiting.put_nowait, prefetch=PREFETCH)
            for queue in (HISTORY_QUEUE, DEAD_LETTERS_QUEUE)
        ]

    async def _run(self) -> None:
        while True:
            deliveries = await self._batch()
            try:
                await self._work(deliveries)
            except HistoryUnavailable as error:
                log.warning("history_away", error=str(error), waiting=len(deliveries))
                await self._wait_for_history(deliveries)
            except Exception:
                log.exception("recorder_failed", batch=len(deliveries))
                await asyncio.sleep(AWAY_PAUSE)
                for delivery in deliveries:
                    with contextlib.suppress(BrokerError):
                        await delivery.release()
            finally:
                for _ in deliveries:
                    self._waiting.task_done()

    async def _batch(self) -> list[Delivery]:
        batch = [await self._waiting.get()]
        if self._linger:
            await asyncio.sleep(self._linger)
        while len(batch) < BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        return batch

    async def _wait_for_history(self, deliveries: Sequence[Delivery]) -> None:
        """Give everything back, and begin again on fresh channels when the database answers."""
        for subscription in self._subscriptions:
            await subscription.close()
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._waiting.task_done()
        while True:
            await asyncio.sleep(AWAY_PAUSE)
            try:
                await self._engine.history.check()
                await self._consume()
            except (HistoryUnavailable, BrokerError):
                continue
            log.info("history_back")
            return

    async def _work(self, deliveries: Sequence[Delivery]) -> None:
        entries = [entry for entry in [await self._read(item) for item in deliveries] if entry]
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
                await self._engine.barriers.passed(entry.barrier, HISTORY_QUEUE)
            with contextlib.suppress(StaleDelivery):  # it comes again: the upsert bears that
                await entry.delivery.ack()
        for record in records:
            await self._announce(record)

    def _measure(self, records: Sequence[TaskRecord], letters: Sequence[DeadLetterRecord]) -> None:
        metrics = self._engine.metrics
        if records:
            metrics.history_rows.inc(len(records))
            newest = max(record.updated_at for record in records)
            metrics.history_lag.set(max(0.0, (now() - newest).total_seconds()))
        for letter in letters:
            metrics.dead_letters.labels(letter.reason).inc()

    async def _read(self, delivery: Delivery) -> Entry | None:
        message = delivery.message
        try:
            if message.kind == DEAD:
                return Entry(delivery, letters=[read_letter(message)])
            if delivery.queue == DEAD_LETTERS_QUEUE:
                return await self._dropped_by_broker(delivery)
            if message.kind == BARRIER:
                return Entry(delivery, barrier=barrier_of(message))
            if message.kind == ENVELOPE:
                return Entry(delivery, records=accepted_records(read_envelope(message)))
            return Entry(delivery, records=[read_record(message)])
        except (BadEnvelope, UnknownVersion, BadRecord, KeyError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            log.warning("history_message_undecodable", queue=delivery.queue, error=text)
            letter = undecodable(delivery.queue, message, "undecodable", text)
            return Entry(delivery, letters=[letter])

    async def _dropped_by_broker(self, delivery: Delivery) -> Entry:
        """A message that was given out too often (its workers died). What has not ended gets
        another chance: the count of lost holders is what ends a murderer."""
        envelope = read_envelope(delivery.message)
        for task in envelope.tasks:
            state = await self._engine.state.get(task.id)
            if state is None or not state.status.ended:
                await self._engine.send(envelope.queue, envelope.single(task).message())
        return Entry(delivery)

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

    async def _expire(self, ended: list[str]) -> None:
        """What history has may leave Redis, after its time."""
        self._unexpired += ended
        if not self._unexpired:
            return
        try:
            await self._engine.state.expire(self._unexpired, self._state_ttl)
        except StateUnavailable as error:
            log.warning("expiry_postponed", tasks=len(self._unexpired), error=str(error))
            return
        self._unexpired = []

    async def _announce(self, record: TaskRecord) -> None:
        """Tell outside services; whether they listen, or their queue is full, is no matter here."""
        event = TERMINAL_EVENTS.get(record.status)
        if event is None:
            return
        body = dumps(
            {
                "task_id": record.id,
                "type": record.type,
                "status": record.status,
                "finished_at": record.finished_at,
                "error": record.error,
            }
        )
        message = Message("event", body, correlation_id=record.id)
        try:
            await self._engine.broker.announce(f"{record.type}.{event}", message)
        except BrokerError as error:
            log.warning("announcement_failed", task_id=record.id, error=str(error))


async def _drop_letter(letter: DeadLetterRecord, error: HistoryRejected) -> None:
    """There is no place left for it but the log."""
    log.error(
        "dead_letter_refused",
        id=letter.id,
        reason=letter.reason,
        body=letter.body[:2_000].decode(errors="replace"),
        error=str(error),
    )
