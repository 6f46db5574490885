"""Writing tasks and their attempts: merged in the batch, then upserted, idempotently."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from infra.codec import dumps
from infra.history import activity
from infra.history.base import AttemptRecord, HistoryRejected, TaskRecord
from infra.history.documents import put_back, set_aside
from infra.history.rows import execute, upsert_statements
from infra.history.upsert import ATTEMPTS, TASKS, attempt_upsert, task_upsert

Write = Callable[[AsyncConnection], Awaitable[None]]
"""Writes a batch, in the transaction of this connection. It may be called again."""


async def prepare(dialect: str, records: Sequence[TaskRecord]) -> Write:
    """All that can be done for a batch before its transaction: the rows, in order of the keys, and
    for MySQL their statements. Raises `HistoryRejected`."""
    merged = merge(records)
    await asyncio.sleep(0)  # tasks that run beside the recorder wait for each of these
    rows = [_task_row(record) for record in merged]
    await asyncio.sleep(0)
    attempts = [_attempt_row(record.id, item) for record in merged for item in record.attempts]
    await asyncio.sleep(0)
    upserts = ((task_upsert(dialect), rows), (attempt_upsert(dialect), attempts))
    large = []
    statements: list[str] = []
    if dialect == "mysql":
        large = set_aside(TASKS, rows, ("payload", "result", "error"))
        large += set_aside(ATTEMPTS, attempts, ("events", "outputs", "error"))
        for upsert, some in upserts:
            statements += await upsert_statements(upsert, some)

    async def write(connection: AsyncConnection) -> None:
        await activity.note(connection, records, merged)
        if dialect == "mysql":
            for statement in statements:
                await execute(connection, statement)
        else:
            for upsert, some in upserts:
                if some:
                    await connection.execute(upsert, some)
        await put_back(connection, large)

    return write


def merge(records: Iterable[TaskRecord]) -> list[TaskRecord]:
    """One record a task, by the rules of the table, in order of id."""
    found: dict[str, TaskRecord] = {}
    for record in records:
        known = found.get(record.id)
        found[record.id] = record if known is None else _merge_two(known, record)
    return [found[task_id] for task_id in sorted(found)]


def _merge_two(first: TaskRecord, second: TaskRecord) -> TaskRecord:
    moves = second.version > first.version and not first.status.ended
    older, newer = (first, second) if moves else (second, first)
    attempts = {item.attempt: item for item in older.attempts}
    for item in newer.attempts:
        known = attempts.get(item.attempt)
        if known is None or len(item.events) >= len(known.events):
            attempts[item.attempt] = item
    return replace(
        newer,
        name=older.name or newer.name,
        payload=older.payload if older.payload is not None else newer.payload,
        run_at=older.run_at or newer.run_at,
        deadline=older.deadline or newer.deadline,
        retry_of=older.retry_of or newer.retry_of,
        idempotency_key=older.idempotency_key or newer.idempotency_key,
        started_at=_earliest(older.started_at, newer.started_at),
        finished_at=newer.finished_at or older.finished_at,
        worker=newer.worker or older.worker,
        attempts=[attempts[number] for number in sorted(attempts)],
    )


def _earliest(*moments: datetime | None) -> datetime | None:
    known = [moment for moment in moments if moment is not None]
    return min(known) if known else None


def _json(value: Any) -> str | None:
    try:
        return None if value is None else dumps(value).decode()
    except TypeError as error:
        raise HistoryRejected(f"not JSON: {error}") from error


def _task_row(record: TaskRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "type": record.type,
        "queue": record.queue,
        "name": record.name,
        "status": record.status.value,
        "version": record.version,
        "attempt": record.attempt,
        "seq": record.seq,
        "unfinished": None if record.status.ended else 1,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "worker": record.worker,
        "handlers": _json(record.handlers),
        "payload": _json(record.payload),
        "result": _json(record.result),
        "error": _json(record.error),
        "run_at": record.run_at,
        "due_at": record.due_at,
        "deadline": record.deadline,
        "retry_of": record.retry_of,
        "from_step": record.from_step,
        "idempotency_key": record.idempotency_key,
    }


def _attempt_row(task_id: str, item: AttemptRecord) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "attempt": item.attempt,
        "worker": item.worker,
        "started_at": item.started_at,
        "finished_at": item.finished_at,
        "size": len(item.events),
        "events": _json(item.events),
        "outputs": _json(item.outputs),
        "error": _json(item.error),
    }
