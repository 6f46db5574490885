"""SQL of the dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infra.codec import dumps, loads
from infra.history.base import DeadLetterRecord
from infra.history.documents import put_back, set_aside
from infra.history.engine import connected, in_transaction, plain
from infra.history.models import DeadLetterRow

LETTERS = DeadLetterRow.__table__  # type: ignore[attr-defined]


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


async def page(engine: AsyncEngine, after: str | None, limit: int) -> list[DeadLetterRecord]:
    statement = select(LETTERS).order_by(LETTERS.c.died_at.desc(), LETTERS.c.id.desc()).limit(limit)
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
    return [
        DeadLetterRecord(
            id=row["id"],
            reason=row["reason"],
            queue=row["queue"],
            body=row["body"],
            died_at=row["died_at"],
            task_id=row["task_id"],
            task_type=row["task_type"],
            error=None if row["error"] is None else loads(row["error"]),
        )
        for row in rows
    ]
