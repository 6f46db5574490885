"""SQL of the users."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from stepline.authoring import UserRecord

from infra.codec import now
from infra.history.base import HistoryRejected, UserConflict
from infra.history.engine import connected, in_transaction
from infra.history.models import UserRow

USERS = UserRow.__table__  # type: ignore[attr-defined]
CHUNK = 500


def key_of(name: str) -> str:
    """The same for names that people take for the same: `Émile` and `émile`, composed or not. A
    digest, since folding may make a name many times longer."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return hashlib.sha256(folded.encode()).hexdigest()


def _values(username: str | None, email: str | None) -> dict[str, Any]:
    """The columns of what is given."""
    given = {"username": username, "email": email}
    named = {name: value for name, value in given.items() if value is not None}
    return named | {f"{name}_key": key_of(value) for name, value in named.items()}


async def count(engine: AsyncEngine) -> int:
    async with connected(engine) as connection:
        counted = await connection.execute(select(func.count()).select_from(USERS))
        return int(counted.scalar_one())


async def page(engine: AsyncEngine, offset: int, limit: int) -> list[UserRecord]:
    statement = select(USERS).order_by(USERS.c.id).offset(offset).limit(limit)
    async with connected(engine) as connection:
        return [_user(row) for row in (await connection.execute(statement)).mappings()]


async def by_ids(engine: AsyncEngine, ids: Sequence[int]) -> dict[int, UserRecord]:
    found: dict[int, UserRecord] = {}
    wanted = sorted(set(ids))
    async with connected(engine) as connection:
        for start in range(0, len(wanted), CHUNK):
            statement = select(USERS).where(USERS.c.id.in_(wanted[start : start + CHUNK]))
            for row in (await connection.execute(statement)).mappings():
                found[row["id"]] = _user(row)
    return found


async def create(engine: AsyncEngine, username: str, email: str) -> UserRecord:
    created_at = now()

    async def work(connection: AsyncConnection) -> int:
        values = _values(username, email)
        result = await connection.execute(insert(USERS).values(**values, created_at=created_at))
        key = result.inserted_primary_key
        return int(key[0]) if key else 0

    try:
        user_id = await in_transaction(engine, work)
    except HistoryRejected as error:
        raise await _conflict(engine, username, email, None) or error from error
    return UserRecord(user_id, username, email, created_at)


async def change(
    engine: AsyncEngine, user_id: int, username: str | None, email: str | None
) -> UserRecord | None:
    values = _values(username, email)

    async def work(connection: AsyncConnection) -> None:
        if values:
            await connection.execute(update(USERS).where(USERS.c.id == user_id).values(**values))

    try:
        await in_transaction(engine, work)
    except HistoryRejected as error:
        raise await _conflict(engine, username, email, user_id) or error from error
    return (await by_ids(engine, [user_id])).get(user_id)


async def remove(engine: AsyncEngine, user_id: int) -> bool:
    async def work(connection: AsyncConnection) -> bool:
        result = await connection.execute(delete(USERS).where(USERS.c.id == user_id))
        return bool(result.rowcount)

    return await in_transaction(engine, work)


async def _conflict(
    engine: AsyncEngine, username: str | None, email: str | None, own_id: int | None
) -> UserConflict | None:
    """Which of the two somebody else has."""
    async with connected(engine) as connection:
        for field, value in (("username", username), ("email", email)):
            if value is None:
                continue
            statement = select(USERS.c.id).where(USERS.c[f"{field}_key"] == key_of(value))
            holder = (await connection.execute(statement)).scalar_one_or_none()
            if holder is not None and holder != own_id:
                return UserConflict(field)
    return None


def _user(row: Any) -> UserRecord:
    return UserRecord(row["id"], row["username"], row["email"], row["created_at"])
