"""What the recorder's deliveries say: records of tasks, dead letters, or a marker of the rescue."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from infra.broker.base import Delivery
from infra.broker.topology import DEAD_LETTERS_QUEUE
from infra.codec import dumps
from infra.envelope import KIND as ENVELOPE
from infra.envelope import BadEnvelope, UnknownVersion, read_envelope
from infra.history.base import DeadLetterRecord, TaskRecord
from infra.records import BadRecord, accepted_records, read_record, record_bodies
from workers.deadletter import KIND as DEAD
from workers.deadletter import read_letter, undecodable
from workers.engine import Engine
from workers.inbox import is_acceptance
from workers.rescue import KIND as BARRIER
from workers.rescue import barrier_of

REMEMBERED = 20_000
"""Tasks whose ends came last: their acceptances may still come."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Entry:
    """A delivery, and what it says."""

    delivery: Delivery
    records: list[TaskRecord] = field(default_factory=list)
    letters: list[DeadLetterRecord] = field(default_factory=list)
    barrier: str | None = None


class EntryReader:
    """Reads deliveries, and remembers whose end it has read: what says that such a task was
    accepted adds nothing. (An end comes again and again until it is written.)"""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._told: dict[str, None] = {}

    async def read_all(self, deliveries: Sequence[Delivery], at_once: int) -> list[Entry]:
        """The acceptances last: of a task whose end is here too, its says nothing more. `at_once`
        records are read without letting others have the event loop."""
        entries: list[Entry] = []
        told: ChainMap[str, None] = ChainMap({}, self._told)
        in_a_row = 0
        for delivery in sorted(deliveries, key=is_acceptance):
            entry = await self._read(delivery, told)
            entries.append(entry)
            told.update((item.id, None) for item in entry.records if item.tells_all)
            in_a_row += len(entry.records)
            if in_a_row >= at_once:  # running tasks wait for it meanwhile
                in_a_row = 0
                await asyncio.sleep(0)
        self._remember(told.maps[0])
        return entries

    async def _read(self, delivery: Delivery, told: Container[str]) -> Entry:
        message = delivery.message
        try:
            if message.kind == DEAD:
                return Entry(delivery, letters=[read_letter(message)])
            if delivery.queue == DEAD_LETTERS_QUEUE:
                return await self._dropped_by_broker(delivery)
            if message.kind == BARRIER:
                return Entry(delivery, barrier=barrier_of(message))
            if message.kind == ENVELOPE:
                accepted = read_envelope(message, without=told)
                return Entry(delivery, records=accepted_records(accepted))
            return self._read_records(delivery)
        except (BadEnvelope, UnknownVersion, BadRecord, KeyError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            log.warning("history_message_undecodable", queue=delivery.queue, error=text)
            letter = undecodable(delivery.queue, message, "undecodable", text)
            return Entry(delivery, letters=[letter])

    def _read_records(self, delivery: Delivery) -> Entry:
        """A record that cannot be read is buried alone, and not with its company."""
        entry = Entry(delivery)
        for body in record_bodies(delivery.message):
            try:
                entry.records.append(read_record(body))
            except BadRecord as error:
                log.warning("record_undecodable", error=str(error))
                alone = replace(delivery.message, body=dumps(body))
                letter = undecodable(delivery.queue, alone, "undecodable", str(error))
                entry.letters.append(letter)
        return entry

    async def _dropped_by_broker(self, delivery: Delivery) -> Entry:
        """A message that was given out too often (its workers died). What has not ended gets
        another chance: the count of lost holders is what ends a murderer."""
        envelope = read_envelope(delivery.message)
        for task in envelope.tasks:
            state = await self._engine.state.get(task.id)
            if state is None or not state.status.ended:
                await self._engine.send(envelope.queue, envelope.single(task).message())
        return Entry(delivery)

    def _remember(self, told: Mapping[str, None]) -> None:
        self._told.update(told)
        for task_id in list(self._told)[: max(0, len(self._told) - REMEMBERED)]:
            del self._told[task_id]
