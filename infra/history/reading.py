"""Reading tasks: one, its attempts, a page, what has not ended. Every page is an index range."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine
from stepline.contract import Status

from infra.codec import loads
from infra.history.base import TOTAL_CAP, AttemptRecord, TaskFilter, TaskList, TaskRecord
from infra.history.engine import connected, plain
from infra.history.upsert import ATTEMPTS, TASKS

LAST_CHARACTER = "\U0010ffff"
CLOCK_SLACK = timedelta(seconds=2)
"""How far a task's id and its `created_at` may be apart."""

FRONT = 1_000
"""Unfinished tasks of a queue among which the oldest waiting one is looked for: as many may run or
be deferred before it."""

LARGE = ("payload", "result", "error")


async def get(engine: AsyncEngine, task_id: str) -> TaskRecord | None:
    async with connected(engine) as connection:
        rows = await connection.execute(select(TASKS).where(TASKS.c.id == plain(task_id)))
        row = rows.mappings().first()
    return None if row is None else task_record(row)


async def by_idempotency_key(engine: AsyncEngine, key: str) -> TaskRecord | None:
    statement = (
        select(TASKS).where(TASKS.c.idempotency_key == key).order_by(TASKS.c.id.desc()).limit(1)
    )
    async with connected(engine) as connection:
        row = (await connection.execute(statement)).mappings().first()
    return None if row is None else task_record(row)


async def attempts(engine: AsyncEngine, task_id: str) -> list[AttemptRecord]:
    statement = (
        select(ATTEMPTS).where(ATTEMPTS.c.task_id == plain(task_id)).order_by(ATTEMPTS.c.attempt)
    )
    async with connected(engine) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [
        AttemptRecord(
            attempt=row["attempt"],
            worker=row["worker"],
            events=loads(row["events"]),
            outputs=loads(row["outputs"]),
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            error=_loaded(row["error"]),
        )
        for row in rows
    ]


def page_statement(
    where: TaskFilter, after: str | None, limit: int, *, many: bool = False
) -> Select[Any]:
    """The rows of a page, and one more: whether there is a next one.

    Rows found by text have to be sorted. Where `many` match, walking down the ids meets a page of
    them soon, while to sort them all takes seconds at a million.
    """
    columns = [column for column in TASKS.c if column.name not in LARGE]
    page = select(*columns).where(*_conditions(where, sorted_by_id=many))
    if after is not None:
        page = page.where(TASKS.c.id < plain(after))
    return page.order_by(TASKS.c.id.desc()).limit(limit + 1)


async def list_tasks(
    engine: AsyncEngine, where: TaskFilter, after: str | None, limit: int
) -> TaskList:
    matching = select(TASKS.c.id).where(*_conditions(where)).limit(TOTAL_CAP + 1).subquery()
    async with connected(engine) as connection:
        counted = await connection.execute(select(func.count()).select_from(matching))
        total = counted.scalar_one()
        page = page_statement(where, after, limit, many=total > TOTAL_CAP)
        rows: Sequence[Any] = (await connection.execute(page)).mappings().all()
    tasks = [task_record(row) for row in rows[:limit]]
    return TaskList(
        tasks=tasks,
        next=tasks[-1].id if len(rows) > limit else None,
        total=min(total, TOTAL_CAP),
        total_capped=total > TOTAL_CAP,
    )


async def count(engine: AsyncEngine, where: TaskFilter) -> int:
    statement = select(func.count()).select_from(TASKS).where(*_conditions(where))
    async with connected(engine) as connection:
        return int((await connection.execute(statement)).scalar_one())


async def unfinished(engine: AsyncEngine, after: TaskRecord | None, limit: int) -> list[TaskRecord]:
    statement = select(TASKS).where(TASKS.c.unfinished == 1)
    if after is not None:
        queue, task_id = plain(after.queue), plain(after.id)
        statement = statement.where(
            TASKS.c.queue >= queue, or_(TASKS.c.queue > queue, TASKS.c.id > task_id)
        )
    statement = statement.order_by(TASKS.c.queue, TASKS.c.id).limit(limit)
    async with connected(engine) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [task_record(row) for row in rows]


async def oldest_waiting(engine: AsyncEngine, queue: str) -> datetime | None:
    """Of those at the front of the queue's index, the first that neither runs nor is deferred."""
    statement = (
        select(TASKS.c.status, TASKS.c.created_at, TASKS.c.run_at, TASKS.c.due_at)
        .where(TASKS.c.unfinished == 1, TASKS.c.queue == plain(queue))
        .order_by(TASKS.c.id)
        .limit(FRONT)
    )
    async with connected(engine) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    waiting = [
        row["run_at"] or row["created_at"]
        for row in rows
        if row["status"] != Status.RUNNING.value and row["due_at"] is None
    ]
    return min(waiting, default=None)


def _conditions(where: TaskFilter, *, sorted_by_id: bool = False) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (("status", where.status), ("type", where.type), ("queue", where.queue)):
        if value is not None:
            found.append(TASKS.c[column] == plain(str(value)))
    if where.since is not None:
        found += [
            TASKS.c.created_at >= where.since,
            TASKS.c.id >= id_at(where.since - CLOCK_SLACK),
        ]
    if where.until is not None:
        found += [
            TASKS.c.created_at < where.until,
            TASKS.c.id < id_at(where.until + CLOCK_SLACK),
        ]
    if where.text:
        # An expression in the place of the column keeps the optimiser off the index of names.
        name = func.coalesce(TASKS.c.name, "") if sorted_by_id else TASKS.c.name
        found.append(or_(_name_begins(name, where.text), _id_begins(where.text)))
    return found


def _name_begins(name: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """A prefix as a range: an index serves it on every database, and no wildcard needs escaping."""
    return and_(name >= text, name < text + LAST_CHARACTER)


def _id_begins(text: str) -> ColumnElement[bool]:
    if not text.isascii():
        return false()
    return and_(TASKS.c.id >= text.lower(), TASKS.c.id < text.lower() + "~")


def id_at(moment: datetime) -> str:
    """The least id of a task made at `moment`: a UUIDv7 begins with its milliseconds."""
    milliseconds = max(0, min(int(moment.timestamp() * 1000), (1 << 48) - 1))
    digits = f"{milliseconds:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _loaded(text: str | None) -> Any:
    return None if text is None else loads(text)


def task_record(row: Any) -> TaskRecord:
    return TaskRecord(
        id=row["id"],
        type=row["type"],
        queue=row["queue"],
        status=Status(row["status"]),
        attempt=row["attempt"],
        seq=row["seq"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        handlers=loads(row["handlers"]),
        name=row["name"],
        payload=_loaded(row.get("payload")),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        worker=row["worker"],
        result=_loaded(row.get("result")),
        error=_loaded(row.get("error")),
        run_at=row["run_at"],
        due_at=row["due_at"],
        deadline=row["deadline"],
        retry_of=row["retry_of"],
        from_step=row["from_step"],
        idempotency_key=row["idempotency_key"],
    )
