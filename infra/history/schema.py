"""The schema's versions: alembic, driven from code, the same for SQLite and MySQL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.history.engine import connected

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


@cache
def latest_revision() -> str:
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise RuntimeError(f"there are no migrations in {MIGRATIONS}")
    return head


async def current_revision(engine: AsyncEngine) -> str | None:
    """The database's revision; None for one without our tables. Raises `HistoryUnavailable`."""

    def look(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with connected(engine) as connection:
        return await connection.run_sync(look)


async def migrate_engine(engine: AsyncEngine) -> None:
    """Bring the schema up to date. Safe to run twice."""

    def upgrade(connection: Connection) -> Any:
        command.upgrade(alembic_config(connection), "head")
        connection.commit()

    async with connected(engine) as connection:
        await connection.run_sync(upgrade)
