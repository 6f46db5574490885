"""SQL of what happened when: counts that the recorder adds to in the transaction of its batch.

A row is a span of time (a minute, an hour), a type, a queue, an outcome and a bucket of durations.
Adding to rows needs no reading of them first, and bears several recorders at once. A batch that
comes a second time adds nothing: only what the table of tasks did not know yet is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from stepline.contract import Status

from infra.history import failures
from infra.history.base import TaskRecord
from infra.history.buckets import bucket_of
from infra.history.engine import connected, in_transaction, plain
from infra.history.models import ActivityRow
from infra.history.operations import HOUR, MINUTE, Activity, Outcome
from infra.history.upsert import TASKS

ACTIVITY = ActivityRow.__table__  # type: ignore[attr-defined]
KEY = ("span", "at", "type", "queue", "outcome", "bucket")
ROWS = 500

KEPT = {MINUTE: timedelta(days=2), HOUR: timedelta(days=90)}


@dataclass(frozen=True, slots=True)
class Known:
    """What the table has of a task before a batch is written."""

    version: int
    ended: bool


async def note(connection: AsyncConnection, records: Sequence[TaskRecord], merged: Any) -> None:
    """Count what a batch brings. To be called in its transaction, before it is written; `merged`
    has one record a task."""
    known = await _known(connection, [record.id for record in merged])
    ended = [
        record
        for record in merged
        if record.status.ended and not (record.id in known and known[record.id].ended)
    ]
    rows = _rows(_counts(records, merged, ended, known))
    statement = _addition(connection.dialect.name)
    for start in range(0, len(rows), ROWS):
        await connection.execute(statement, rows[start : start + ROWS])
    await failures.note(connection, [record for record in ended if record.status is Status.FAILURE])


async def _known(connection: AsyncConnection, task_ids: Sequence[str]) -> dict[str, Known]:
    found: dict[str, Known] = {}
    for start in range(0, len(task_ids), ROWS):
        part = task_ids[start : start + ROWS]
        statement = select(TASKS.c.id, TASKS.c.version, TASKS.c.unfinished)
        for row in await connection.execute(statement.where(TASKS.c.id.in_(part))):
            found[row[0]] = Known(row[1], ended=row[2] is None)
    return found


Key = tuple[int, str, str, Outcome, int]


def _counts(
    records: Sequence[TaskRecord],
    merged: Sequence[TaskRecord],
    ended: Sequence[TaskRecord],
    known: Mapping[str, Known],
) -> Counter[Key]:
    """By minute, type, queue, outcome and bucket."""
    counts: Counter[Key] = Counter()
    for record in merged:
        if record.id not in known:
            counts[_key(record, record.created_at, "accepted")] += 1
    for record in ended:
        at = record.finished_at or record.updated_at
        began = max(record.created_at, record.run_at or record.created_at)
        bucket = bucket_of((at - began).total_seconds())
        counts[_key(record, at, record.status.value, bucket)] += 1
    for record in {
        (item.id, item.version): item for item in records if item.status is Status.RETRYING
    }.values():
        if record.id not in known or record.version > known[record.id].version:
            counts[_key(record, record.updated_at, "retried")] += 1
    return counts


def _key(record: TaskRecord, at: datetime, outcome: Any, bucket: int = 0) -> Key:
    return int(at.timestamp()) // MINUTE * MINUTE, record.type, record.queue, outcome, bucket


def _rows(counts: Counter[Key]) -> list[dict[str, Any]]:
    """Each count by the minute and by the hour, in order of the key."""
    summed: Counter[tuple[int, int, str, str, str, int]] = Counter()
    for (at, *what), count in counts.items():
        for span in (MINUTE, HOUR):
            summed[(span, at // span * span, *what)] += count  # type: ignore[index]
    return [dict(zip(KEY, key, strict=True)) | {"count": summed[key]} for key in sorted(summed)]


def _addition(dialect: str) -> Any:
    if dialect == "mysql":
        statement = mysql.insert(ACTIVITY)
        return statement.on_duplicate_key_update(count=ACTIVITY.c.count + statement.inserted.count)
    lite = sqlite.insert(ACTIVITY)
    return lite.on_conflict_do_update(
        index_elements=KEY, set_={"count": ACTIVITY.c.count + lite.excluded.count}
    )


async def read(
    engine: AsyncEngine, since: int, *, span: int, step: int, task_type: str | None
) -> list[Activity]:
    at = (ACTIVITY.c.at - ACTIVITY.c.at % step).label("at")
    columns = (ACTIVITY.c.type, ACTIVITY.c.queue, ACTIVITY.c.outcome, ACTIVITY.c.bucket)
    statement = select(at, *columns, func.sum(ACTIVITY.c.count)).where(
        ACTIVITY.c.span == span, ACTIVITY.c.at >= since
    )
    if task_type is not None:
        statement = statement.where(ACTIVITY.c.type == plain(task_type))
    async with connected(engine) as connection:
        rows = await connection.execute(statement.group_by(at, *columns))
        return [Activity(int(row[0]), row[1], row[2], row[3], row[4], int(row[5])) for row in rows]


async def prune(engine: AsyncEngine, now: datetime) -> None:
    async def work(connection: AsyncConnection) -> None:
        for span, kept in KEPT.items():
            before = int((now - kept).timestamp())
            old = delete(ACTIVITY).where(ACTIVITY.c.span == span, ACTIVITY.c.at < before)
            await connection.execute(old)

    await in_transaction(engine, work)
