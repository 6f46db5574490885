"""The database connection, and its errors in our words."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from infra.history.base import HistoryRejected, HistoryUnavailable
from infra.settings import make_folder

BUSY_TIMEOUT = 10.0
RECYCLE_AFTER = 1800
DEADLOCK, LOCK_TIMEOUT = 1213, 1205
TRIES = 5

REFUSED = {1264, 1265, 1292, 1366, 1406, 1153}
"""MySQL's numbers for a value that does not fit its column, or a packet that is too large."""

UNSENDABLE = (UnicodeError, OverflowError)
"""What the drivers raise, unwrapped, for a value that they cannot send."""

T = TypeVar("T")


def make_engine(url: str) -> AsyncEngine:
    """An engine for the URL; the folder of an SQLite file is made."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        folder = Path(parsed.database or "").parent
        make_folder(folder, "STEPLINE_DATA_DIR or STEPLINE_DATABASE_URL")
        engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT})
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    return create_async_engine(
        url,
        pool_size=10,
        max_overflow=20,
        pool_recycle=RECYCLE_AFTER,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": 5,
            "init_command": "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES'",
        },
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """A write-ahead log that is not synced at each commit survives the death of the process (the
    pages are the kernel's by then), though not that of the machine."""
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for reading, with errors translated."""
    try:
        async with engine.connect() as connection:
            yield connection
    except (SQLAlchemyError, OSError, TimeoutError, *UNSENDABLE) as error:
        raise translate(error) from error


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `work` in one transaction; a deadlock's victim tries again."""
    for attempt in range(1, TRIES + 1):
        try:
            async with engine.begin() as connection:
                return await work(connection)
        except (SQLAlchemyError, OSError, TimeoutError, *UNSENDABLE) as error:
            if not _is_collision(error) or attempt == TRIES:
                raise translate(error) from error
        await asyncio.sleep(random.random() * 0.05 * attempt)
    raise AssertionError("unreachable")


def error_number(error: BaseException) -> int | None:
    """The database's own number for an error, where it has one."""
    arguments = getattr(getattr(error, "orig", None), "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _is_collision(error: BaseException) -> bool:
    if error_number(error) in (DEADLOCK, LOCK_TIMEOUT):
        return True
    return "database is locked" in str(error)


def translate(error: BaseException) -> Exception:
    """`HistoryRejected` for what is in the data, `HistoryUnavailable` for all else."""
    original = getattr(error, "orig", None) or error
    text = f"{type(original).__name__}: {original}"[:500]
    if isinstance(error, IntegrityError | DataError) or error_number(error) in REFUSED:
        return HistoryRejected(text)
    if isinstance(error, StatementError) and isinstance(original, ValueError | OverflowError):
        return HistoryRejected(text)  # refused on this side, before it was sent
    if isinstance(error, UNSENDABLE):
        return HistoryRejected(text)
    return HistoryUnavailable(f"the database does not answer: {text}")


def plain(word: str) -> str:
    """`word` as an ASCII column can be compared with it. MySQL refuses to compare one with anything
    else; a tilde is in no id and no name of ours either, and sorts after them all."""
    return word if word.isascii() else "~"
