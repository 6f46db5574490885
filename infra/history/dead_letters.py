"""SQL of the dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infra.codec import dumps, loads
from infra.history.base import DeadLetterFilter, DeadLetterRecord
from infra.history.documents import put_back, set_aside
from infra.history.engine import connected, in_transaction, plain
from infra.history.models import DeadLetterRow

LETTERS = DeadLetterRow.__table__  # type: ignore[attr-defined]
BEGINNING = datetime(1971, 1, 1, tzinfo=UTC)
"""Nothing died before."""


async def add(engine: AsyncEngine, letters: Sequence[DeadLetterRecord]) -> None:
    rows = [
        {
            "id": letter.id,
            "reason": letter.reason,
            "queue": letter.queue,
            "task_id": letter.task_id,
            "task_type": letter.task_type,
            "died_at": letter.died_at,
            "body": letter.body,
            "error": None if letter.error is None else dumps(letter.error).decode(),
            "open": 1,
        }
        for letter in sorted(letters, key=lambda letter: letter.id)
    ]
    large = []
    statement: Any
    if engine.dialect.name == "mysql":
        large = set_aside(LETTERS, rows, ("body",))
        statement = mysql.insert(LETTERS).on_duplicate_key_update(id=LETTERS.c.id)
    else:
        statement = sqlite.insert(LETTERS).on_conflict_do_nothing(index_elements=["id"])

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(statement, rows)
        await put_back(connection, large)

    await in_transaction(engine, work)


async def get(engine: AsyncEngine, letter_id: str) -> DeadLetterRecord | None:
    async with connected(engine) as connection:
        found = await connection.execute(select(LETTERS).where(LETTERS.c.id == plain(letter_id)))
        row = found.mappings().first()
    return None if row is None else _record(row)


def page_statement(where: DeadLetterFilter, limit: int) -> Select[Any]:
    """Newest first; of a filter that nothing limits, an index range."""
    statement = select(LETTERS).order_by(LETTERS.c.died_at.desc(), LETTERS.c.id.desc()).limit(limit)
    if where.since is None:  # MariaDB sorts the whole table unless there is a range to walk
        statement = statement.where(LETTERS.c.died_at >= BEGINNING)
    return _matching(statement, where)


async def page(
    engine: AsyncEngine, where: DeadLetterFilter, after: str | None, limit: int
) -> list[DeadLetterRecord]:
    statement = page_statement(where, limit)
    async with connected(engine) as connection:
        if after is not None:
            known = select(LETTERS.c.died_at).where(LETTERS.c.id == plain(after))
            died_at = (await connection.execute(known)).scalar_one_or_none()
            if died_at is None:
                return []
            statement = statement.where(
                (LETTERS.c.died_at < died_at)
                | ((LETTERS.c.died_at == died_at) & (LETTERS.c.id < after))
            )
        rows = (await connection.execute(statement)).mappings().all()
    return [_record(row) for row in rows]


async def count(engine: AsyncEngine, where: DeadLetterFilter) -> int:
    statement = _matching(select(func.count()).select_from(LETTERS), where)
    async with connected(engine) as connection:
        return int((await connection.execute(statement)).scalar_one())


async def resolve(
    engine: AsyncEngine,
    letter_id: str,
    resolution: str,
    *,
    by: str,
    at: datetime,
    replayed_as: str | None,
) -> bool:
    seen_to = {"open": None, "resolution": resolution, "resolved_by": by, "resolved_at": at}
    still_open = update(LETTERS).where(LETTERS.c.id == plain(letter_id), LETTERS.c.open == 1)
    change = still_open.values(**seen_to, replayed_as=replayed_as)

    async def work(connection: AsyncConnection) -> bool:
        return bool((await connection.execute(change)).rowcount)

    return await in_transaction(engine, work)


def _matching(statement: Select[Any], where: DeadLetterFilter) -> Select[Any]:
    if where.resolved is not None:
        column = LETTERS.c.open
        statement = statement.where(column.is_(None) if where.resolved else column == 1)
    for name, value in (
        ("reason", where.reason),
        ("queue", where.queue),
        ("task_type", where.task_type),
    ):
        if value is not None:
            statement = statement.where(LETTERS.c[name] == plain(value))
    if where.since is not None:
        statement = statement.where(LETTERS.c.died_at >= where.since)
    if where.until is not None:
        statement = statement.where(LETTERS.c.died_at < where.until)
    return statement


def _record(row: Any) -> DeadLetterRecord:
    return DeadLetterRecord(
        id=row["id"],
        reason=row["reason"],
        queue=row["queue"],
        body=row["body"],
        died_at=row["died_at"],
        task_id=row["task_id"],
        task_type=row["task_type"],
        error=None if row["error"] is None else loads(row["error"]),
        resolution=row["resolution"],
        resolved_at=row["resolved_at"],
        resolved_by=row["resolved_by"],
        replayed_as=row["replayed_as"],
    )
