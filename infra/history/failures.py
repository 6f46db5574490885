"""SQL of failures by their cause: a row a group, and which task is of which group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, case, delete, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infra.history.base import TaskRecord
from infra.history.engine import connected, in_transaction, plain
from infra.history.fingerprint import fingerprint, normalised
from infra.history.models import FailedTaskRow, FailureRow
from infra.history.operations import FailureFilter, FailureGroup

GROUPS = FailureRow.__table__  # type: ignore[attr-defined]
FAILED = FailedTaskRow.__table__  # type: ignore[attr-defined]
BEGINNING = datetime(1971, 1, 1, tzinfo=UTC)
"""Nothing failed before."""


async def note(connection: AsyncConnection, failed: Sequence[TaskRecord]) -> None:
    """Count tasks that have failed now, each once, in the transaction that records them."""
    if not failed:
        return
    groups: dict[str, dict[str, Any]] = {}
    members = []
    for record in failed:
        row = _group(record)
        members.append({"task_id": record.id, "fingerprint": row["fingerprint"]})
        known = groups.setdefault(row["fingerprint"], row | {"count": 0})
        known["count"] += 1
        known["first_seen"] = min(known["first_seen"], row["first_seen"])
        if row["last_seen"] >= known["last_seen"]:
            known |= {name: row[name] for name in ("last_seen", "sample_task_id")}
    dialect = connection.dialect.name
    await connection.execute(_addition(dialect), [groups[name] for name in sorted(groups)])
    await connection.execute(_membership(dialect), members)


def _group(record: TaskRecord) -> dict[str, Any]:
    error = record.error or {}
    at = record.finished_at or record.updated_at
    return {
        "fingerprint": fingerprint(record.type, error),
        "type": record.type,
        "handler": None if error.get("handler") is None else str(error["handler"])[:200],
        "code": str(error.get("code"))[:100].encode("ascii", "replace").decode(),
        "message": normalised(str(error.get("message"))),
        "first_seen": at,
        "last_seen": at,
        "sample_task_id": record.id,
    }


def _addition(dialect: str) -> Any:
    """Add to the groups. One that was resolved before this failure is open again. MySQL assigns
    from left to right and reads what it has assigned: `last_seen` comes last."""
    statement: Any = mysql.insert(GROUPS) if dialect == "mysql" else sqlite.insert(GROUPS)
    new = statement.inserted if dialect == "mysql" else statement.excluded
    later = new.last_seen >= GROUPS.c.last_seen
    earlier = new.first_seen < GROUPS.c.first_seen
    again = GROUPS.c.resolved_at < new.last_seen
    changes = [
        ("count", GROUPS.c.count + new.count),
        ("first_seen", case((earlier, new.first_seen), else_=GROUPS.c.first_seen)),
        ("sample_task_id", case((later, new.sample_task_id), else_=GROUPS.c.sample_task_id)),
        ("resolved_by", case((again, None), else_=GROUPS.c.resolved_by)),
        ("resolved_at", case((again, None), else_=GROUPS.c.resolved_at)),
        ("last_seen", case((later, new.last_seen), else_=GROUPS.c.last_seen)),
    ]
    if dialect == "mysql":
        return statement.on_duplicate_key_update(changes)
    return statement.on_conflict_do_update(index_elements=["fingerprint"], set_=dict(changes))


def _membership(dialect: str) -> Any:
    if dialect == "mysql":
        return mysql.insert(FAILED).on_duplicate_key_update(task_id=FAILED.c.task_id)
    return sqlite.insert(FAILED).on_conflict_do_nothing(index_elements=["task_id"])


def page_statement(where: FailureFilter, limit: int) -> Select[Any]:
    """The last seen first: an index range, whatever the filter."""
    since = where.since or BEGINNING  # MariaDB sorts the whole table unless there is a range
    statement = select(GROUPS).where(GROUPS.c.last_seen >= since)
    if where.type is not None:
        statement = statement.where(GROUPS.c.type == plain(where.type))
    if where.resolved is not None:
        resolved = GROUPS.c.resolved_at
        statement = statement.where(resolved.is_not(None) if where.resolved else resolved.is_(None))
    return statement.order_by(GROUPS.c.last_seen.desc()).limit(limit)


async def page(engine: AsyncEngine, where: FailureFilter, limit: int) -> list[FailureGroup]:
    async with connected(engine) as connection:
        rows = (await connection.execute(page_statement(where, limit))).mappings()
        return [FailureGroup(**row) for row in rows]


async def get(engine: AsyncEngine, name: str) -> FailureGroup | None:
    async with connected(engine) as connection:
        found = await connection.execute(select(GROUPS).where(GROUPS.c.fingerprint == plain(name)))
        row = found.mappings().first()
    return None if row is None else FailureGroup(**row)


async def resolve(engine: AsyncEngine, name: str, by: str | None, at: datetime | None) -> bool:
    """`at` None opens it again. False if it is so already."""
    resolved = GROUPS.c.resolved_at
    other_way = resolved.is_not(None) if at is None else resolved.is_(None)
    change = update(GROUPS).where(GROUPS.c.fingerprint == plain(name), other_way)

    async def work(connection: AsyncConnection) -> bool:
        done = await connection.execute(change.values(resolved_by=by, resolved_at=at))
        return bool(done.rowcount)

    return await in_transaction(engine, work)


async def prune(engine: AsyncEngine, before: datetime) -> None:
    async def work(connection: AsyncConnection) -> None:
        await connection.execute(delete(GROUPS).where(GROUPS.c.last_seen < before))

    await in_transaction(engine, work)


async def forget_tasks(connection: AsyncConnection, task_ids: Sequence[str]) -> None:
    """Tasks that leave the history leave their groups; the counts stay."""
    await connection.execute(delete(FAILED).where(FAILED.c.task_id.in_(task_ids)))
