"""SQL of what waits for its time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from stepline.contract import Status

from infra.history.base import TaskRecord
from infra.history.engine import connected, in_transaction
from infra.history.reading import task_record
from infra.history.upsert import TASKS


async def due(engine: AsyncEngine, by: datetime, limit: int) -> list[TaskRecord]:
    statement = (
        select(TASKS).where(TASKS.c.due_at <= by).order_by(TASKS.c.due_at, TASKS.c.id).limit(limit)
    )
    async with connected(engine) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [task_record(row) for row in rows]


async def released(engine: AsyncEngine, task_ids: Sequence[str], at: datetime) -> None:
    """One that has gone on meanwhile (cancelled, or claimed) has no `due_at`, and is left alone."""
    waiting = update(TASKS).where(TASKS.c.id.in_(sorted(task_ids)), TASKS.c.due_at.is_not(None))
    statement = waiting.values(due_at=None, status=Status.PENDING.value, updated_at=at)

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(statement)

    await in_transaction(engine, work)


async def bring_forward(engine: AsyncEngine, task_id: str, at: datetime) -> bool:
    """Let it be due at `at`; False if it waits no more."""
    waiting = update(TASKS).where(TASKS.c.id == task_id, TASKS.c.due_at.is_not(None))

    async def work(connection: AsyncConnection) -> bool:
        changed = await connection.execute(waiting.values(due_at=at, run_at=at))
        return bool(changed.rowcount)

    return await in_transaction(engine, work)


async def count(engine: AsyncEngine) -> int:
    """How many wait."""
    statement = select(func.count()).select_from(TASKS).where(TASKS.c.due_at.is_not(None))
    async with connected(engine) as connection:
        return int((await connection.execute(statement)).scalar_one())
