"""SQL of forgetting: what ended long ago leaves in small batches, oldest first."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infra.history.dead_letters import LETTERS
from infra.history.engine import in_transaction
from infra.history.failures import forget_tasks
from infra.history.reading import id_at
from infra.history.upsert import ATTEMPTS, TASKS


async def prune_tasks(engine: AsyncEngine, before: datetime, limit: int) -> list[str]:
    """Delete up to `limit` tasks that were made before `before` and have ended since, with their
    attempts. Returns their ids. Ids are time-ordered: this walks the primary key."""
    # an expression in the place of the column keeps the optimiser off the index of what waits
    ended = func.coalesce(TASKS.c.unfinished, 0) == 0
    old = (
        select(TASKS.c.id)
        .where(TASKS.c.id < id_at(before), ended)
        .where(TASKS.c.finished_at < before)
        .order_by(TASKS.c.id)
        .limit(limit)
    )

    async def work(connection: AsyncConnection) -> list[str]:
        task_ids = [row[0] for row in await connection.execute(old)]
        if task_ids:
            await forget_tasks(connection, task_ids)
            await connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.task_id.in_(task_ids)))
            await connection.execute(delete(TASKS).where(TASKS.c.id.in_(task_ids)))
        return task_ids

    return await in_transaction(engine, work)


async def prune_dead_letters(engine: AsyncEngine, before: datetime, limit: int) -> int:
    """Delete up to `limit` dead letters that died before `before` and were replayed or discarded.
    Open ones stay until somebody has seen to them."""
    old = (
        select(LETTERS.c.id)
        .where(LETTERS.c.open.is_(None), LETTERS.c.died_at < before)
        .order_by(LETTERS.c.died_at, LETTERS.c.id)
        .limit(limit)
    )

    async def work(connection: AsyncConnection) -> int:
        ids = [row[0] for row in await connection.execute(old)]
        if ids:
            await connection.execute(delete(LETTERS).where(LETTERS.c.id.in_(ids)))
        return len(ids)

    return await in_transaction(engine, work)
