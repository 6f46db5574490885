"""Many rows in one statement, for MySQL: written out here, once, with all their values.

SQLAlchemy and the driver prepare each value of each row by themselves, one function call after the
other. That takes longer than all else that the recorder does; this does the same with less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any

from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.codec import timestamp
from infra.history.engine import UNSENDABLE, translate

STATEMENT_BYTES = 1_000_000
"""Of the rows of one statement: well within the least `max_allowed_packet` that servers come with.
One row that is larger goes alone."""

ROWS_AT_ONCE = 100
"""Rows that are written out without letting others have the event loop."""


async def upsert_statements(upsert: Any, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """`upsert`, an INSERT … ON DUPLICATE KEY UPDATE, for all rows, in as many statements as it
    takes. Raises `HistoryRejected` for a value that cannot be sent."""
    head, columns, tail = parts_of(upsert)
    texts: list[str] = []
    try:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            texts += [written(row, columns) for row in rows[start : start + ROWS_AT_ONCE]]
            await asyncio.sleep(0)
        return [f"{head}{','.join(some)}{tail}" for some in _within_bounds(texts)]
    except UNSENDABLE as error:
        raise translate(error) from error


async def execute(connection: AsyncConnection, statement: str) -> None:
    """Run a statement that has all its values."""
    await connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


@cache
def parts_of(upsert: Any) -> tuple[str, tuple[str, ...], str]:
    """What comes before the rows, the columns in their order, and what comes after."""
    compiled = upsert.compile(dialect=mysql.dialect(paramstyle="format"))
    head, values, rest = str(compiled).partition(" VALUES (")
    _, update, tail = rest.partition(" ON DUPLICATE KEY UPDATE ")
    return f"{head}{values[:-1]}", tuple(compiled.positiontup), f"{update}{tail}"


def written(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """One row, in brackets."""
    return f"({','.join([literal(row[name]) for name in columns])})"


def literal(value: str | int | datetime | None) -> str:
    """A value as SQL has it. Backslashes are escaped: our connections' `sql_mode` lets them be."""
    return LITERALS.get(type(value), _number)(value)


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _time(value: datetime) -> str:
    return f"'{timestamp(value)[:-1]}'"  # without its Z: the columns are of UTC


def _number(value: Any) -> str:
    return _text(value) if isinstance(value, str) else str(int(value))


LITERALS: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: "NULL",
    str: _text,
    int: str,
    datetime: _time,
}


def _within_bounds(rows: Iterable[str]) -> Iterator[list[str]]:
    together: list[str] = []
    size = 0
    for row in rows:
        length = len(row.encode())
        if together and size + length > STATEMENT_BYTES:
            yield together
            together, size = [], 0
        together.append(row)
        size += length
    if together:
        yield together
