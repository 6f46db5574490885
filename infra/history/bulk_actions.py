"""SQL of the bulk actions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infra.codec import dumps, loads
from infra.history.base import BulkRecord
from infra.history.engine import connected, in_transaction, plain
from infra.history.models import BulkActionRow

ACTIONS = BulkActionRow.__table__  # type: ignore[attr-defined]


async def add(engine: AsyncEngine, record: BulkRecord) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(insert(ACTIONS), [_row(record)])

    await in_transaction(engine, work)


async def get(engine: AsyncEngine, action_id: str) -> BulkRecord | None:
    async with connected(engine) as connection:
        found = await connection.execute(select(ACTIONS).where(ACTIONS.c.id == plain(action_id)))
        row = found.mappings().first()
    return None if row is None else _record(row)


async def running(engine: AsyncEngine) -> BulkRecord | None:
    """The oldest one that is not through."""
    statement = select(ACTIONS).where(ACTIONS.c.state == "running").order_by(ACTIONS.c.id).limit(1)
    async with connected(engine) as connection:
        row = (await connection.execute(statement)).mappings().first()
    return None if row is None else _record(row)


async def newest(engine: AsyncEngine, limit: int) -> list[BulkRecord]:
    statement = select(ACTIONS).order_by(ACTIONS.c.id.desc()).limit(limit)
    async with connected(engine) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [_record(row) for row in rows]


async def advance(engine: AsyncEngine, record: BulkRecord) -> bool:
    """Save how far it is; False if it was aborted meanwhile."""
    names = ("state", "position", "done", "skipped", "failed", "updated_at", "error")
    row = _row(record)
    change = (
        update(ACTIONS)
        .where(ACTIONS.c.id == record.id, ACTIONS.c.state == "running")
        .values({name: row[name] for name in names})
    )

    async def work(connection: AsyncConnection) -> bool:
        return bool((await connection.execute(change)).rowcount)

    return await in_transaction(engine, work)


async def abort(engine: AsyncEngine, action_id: str, at: datetime) -> bool:
    """False if it is through, or aborted already."""
    change = (
        update(ACTIONS)
        .where(ACTIONS.c.id == plain(action_id), ACTIONS.c.state == "running")
        .values(state="aborted", updated_at=at)
    )

    async def work(connection: AsyncConnection) -> bool:
        return bool((await connection.execute(change)).rowcount)

    return await in_transaction(engine, work)


def _row(record: BulkRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "action": record.action,
        "filter": dumps(record.filter).decode(),
        "state": record.state,
        "position": record.position,
        "total": record.total,
        "done": record.done,
        "skipped": record.skipped,
        "failed": record.failed,
        "created_by": record.created_by,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "error": None if record.error is None else dumps(record.error).decode(),
    }


def _record(row: Any) -> BulkRecord:
    fields = dict(row)
    fields["filter"] = loads(fields["filter"])
    fields["error"] = None if fields["error"] is None else loads(fields["error"])
    return BulkRecord(**fields)
