"""The schema's versions: alembic, driven from code, the same for SQLite and MySQL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

import infra.history.models  # noqa: F401  (fills the metadata)
from infra.history.base import HistoryUnavailable
from infra.history.engine import connected

MIGRATIONS = Path(__file__).parent / "migrations"

LOCK_NAME = "CONCAT('stepline.migrate.', MD5(DATABASE()))"
"""A MySQL lock is the whole server's, and its name 64 characters at most."""

PATIENCE = 60
"""Seconds to wait for another process that is migrating."""


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
    """Bring the schema up to date. Safe to run twice, and by several processes at once."""

    def upgrade(connection: Connection) -> Any:
        _lock(connection)
        try:
            _refuse_half_made(connection)
            command.upgrade(alembic_config(connection), "head")
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            _unlock(connection)

    async with connected(engine) as connection:
        await connection.run_sync(upgrade)


def _lock(connection: Connection) -> None:
    """One migrates, the others wait. SQLite's driver would commit each table by itself: begun
    here, an interrupted migration leaves nothing behind. (MySQL has no transactions for tables.)"""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    got = connection.execute(text(f"SELECT GET_LOCK({LOCK_NAME}, {PATIENCE})")).scalar_one()
    if got != 1:
        raise HistoryUnavailable(f"another process has been migrating for {PATIENCE} seconds")


def _refuse_half_made(connection: Connection) -> None:
    """Tables of our names without a revision are not ours to alter or to drop."""
    if MigrationContext.configure(connection).get_current_revision() is not None:
        return
    there = set(inspect(connection).get_table_names()) & set(SQLModel.metadata.tables)
    if there:
        raise HistoryUnavailable(
            f"the database has {', '.join(sorted(there))} but no revision: an earlier migration "
            "was interrupted, or another program lives there; empty the database or name another"
        )


def _unlock(connection: Connection) -> None:
    """A connection that is lost gives its lock back by itself."""
    if connection.dialect.name == "mysql" and not connection.invalidated:
        connection.execute(text(f"SELECT RELEASE_LOCK({LOCK_NAME})"))
        connection.rollback()
