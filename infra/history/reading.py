"""Reading tasks: one, its attempts, a page, what has not ended. Every page is an index range."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, not_, or_, select, union
from sqlalchemy.ext.asyncio import AsyncEngine
from stepline.contract import Status

from infra.codec import loads
from infra.history.base import (
    AHEAD_CAP,
    LIST_CAP,
    TOTAL_CAP,
    AttemptRecord,
    Backlog,
    TaskFilter,
    TaskList,
    TaskRecord,
)
from infra.history.engine import connected, plain
from infra.history.failures import FAILED
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

    What is found by text has to be sorted: the ids alone, out of their indexes, and then the rows
    of one page. Where `many` match, walking down the ids meets a page of them soon, while to sort
    them all takes seconds at a million.
    """
    columns = [column for column in TASKS.c if column.name not in LARGE]
    if where.text and not many:
        found = _matching(where, limit + 1, after or LAST_CHARACTER).subquery()
        rows = select(*columns).join(found, TASKS.c.id == found.c.id)
        return rows.order_by(TASKS.c.id.desc()).limit(limit + 1)
    source, task_id = _source(where)
    page = select(*columns).select_from(source).where(*_conditions(where), *_walked(where.text))
    if after is not None:
        page = page.where(task_id < plain(after))
    return page.order_by(task_id.desc()).limit(limit + 1)


def _matching(where: TaskFilter, most: int, newest_before: str) -> Any:
    """By text: at most `most` ids, the newest before that id, of tasks whose name begins so, and as
    many of those that do so themselves; an OR of both would use neither index."""
    source, task_id = _source(where)
    ids = select(task_id.label("id")).select_from(source).where(*_conditions(where))
    ids = ids.where(task_id < plain(newest_before)).order_by(task_id.desc())
    begins = (_name_begins(TASKS.c.name, where.text or ""), _id_begins(where.text or ""))
    # each limited within a subquery: SQLite takes no LIMIT in a part of a UNION
    parts = [ids.where(found).limit(most).subquery() for found in begins]
    return union(*(select(part.c.id) for part in parts))


def _count_statement(where: TaskFilter) -> Select[Any]:
    """How many match, out of an index: as many as a list counts, and one more. By text up to
    `TOTAL_CAP`: it decides how the page is found."""
    source, task_id = _source(where)
    ids = select(task_id.label("id")).select_from(source).where(*_conditions(where))
    if not where.text:
        matching = ids.limit(LIST_CAP + 1).subquery()
        return select(func.count()).select_from(matching)
    by_name = _name_begins(TASKS.c.name, where.text)
    by_id_alone = and_(
        _id_begins(where.text), not_(_name_begins(func.coalesce(TASKS.c.name, ""), where.text))
    )
    parts = [ids.where(found).limit(TOTAL_CAP + 1).subquery() for found in (by_name, by_id_alone)]
    counts = [select(func.count()).select_from(part).scalar_subquery() for part in parts]
    return select(counts[0] + counts[1])


def _source(where: TaskFilter) -> tuple[Any, ColumnElement[str]]:
    """Where to read, and the id to go by: of one group of failures, what is known of that."""
    if where.fingerprint is None:
        return TASKS, TASKS.c.id
    return FAILED.join(TASKS, TASKS.c.id == FAILED.c.task_id), FAILED.c.task_id


async def list_tasks(
    engine: AsyncEngine, where: TaskFilter, after: str | None, limit: int
) -> TaskList:
    async with connected(engine) as connection:
        matching = int((await connection.execute(_count_statement(where))).scalar_one())
        page = page_statement(where, after, limit, many=matching > TOTAL_CAP)
        rows: Sequence[Any] = (await connection.execute(page)).mappings().all()
    tasks = [task_record(row) for row in rows[:limit]]
    return TaskList(
        tasks=tasks,
        next=tasks[-1].id if len(rows) > limit else None,
        total=min(matching, LIST_CAP),
        total_capped=matching > LIST_CAP,
    )


async def count(engine: AsyncEngine, where: TaskFilter) -> int:
    source, _ = _source(where)
    statement = select(func.count()).select_from(source)
    statement = statement.where(*_conditions(where), *_walked(where.text))
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


async def backlog(engine: AsyncEngine, queue: str | None) -> Backlog:
    """A part of the index of what waits, never longer than `TOTAL_CAP`."""
    front = select(TASKS.c.status).where(TASKS.c.unfinished == 1)
    if queue is not None:
        front = front.where(TASKS.c.queue == plain(queue))
    rows = front.order_by(TASKS.c.queue, TASKS.c.id).limit(TOTAL_CAP).subquery()
    statement = select(rows.c.status, func.count()).group_by(rows.c.status)
    async with connected(engine) as connection:
        counted = (await connection.execute(statement)).all()
    by_status = {Status(status): int(number) for status, number in counted}
    return Backlog(by_status, capped=sum(by_status.values()) >= TOTAL_CAP)


async def count_ahead(engine: AsyncEngine, queue: str, task_id: str) -> int:
    """Of the queue's index, what is before this task; what runs or is deferred is not ahead."""
    before = (
        select(TASKS.c.status, TASKS.c.due_at)
        .where(TASKS.c.unfinished == 1, TASKS.c.queue == plain(queue), TASKS.c.id < plain(task_id))
        .order_by(TASKS.c.id)
        .limit(AHEAD_CAP)
        .subquery()
    )
    statement = (
        select(func.count())
        .select_from(before)
        .where(before.c.status == Status.PENDING.value, before.c.due_at.is_(None))
    )
    async with connected(engine) as connection:
        return int((await connection.execute(statement)).scalar_one())


async def retries_of(engine: AsyncEngine, task_id: str, limit: int) -> list[str]:
    statement = (
        select(TASKS.c.id)
        .where(TASKS.c.retry_of == plain(task_id))
        .order_by(TASKS.c.id)
        .limit(limit)
    )
    async with connected(engine) as connection:
        return list((await connection.execute(statement)).scalars())


def _conditions(where: TaskFilter) -> list[ColumnElement[bool]]:
    """All of the filter but its text."""
    found: list[ColumnElement[bool]] = []
    for column, value in (("status", where.status), ("type", where.type), ("queue", where.queue)):
        if value is not None:
            found.append(TASKS.c[column] == plain(str(value)))
    if where.worker is not None:
        found.append(TASKS.c.worker == where.worker)
    if where.fingerprint is not None:
        found.append(FAILED.c.fingerprint == plain(where.fingerprint))
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
    return found


def _walked(text: str | None) -> list[ColumnElement[bool]]:
    """The filter's text for whoever walks down the ids: an expression in the place of the column
    keeps the optimiser off the index of names."""
    if not text:
        return []
    return [or_(_name_begins(func.coalesce(TASKS.c.name, ""), text), _id_begins(text))]


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
