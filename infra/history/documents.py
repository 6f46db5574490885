"""Documents too large for one statement, on their way into MySQL.

The server drops a connection that sends more than `max_allowed_packet`, which reads like a database
that is away: the batch would be tried for ever. A large document therefore leaves its row empty
(valid JSON never is), and follows in pieces within the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, func, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.history.base import HistoryRejected

LARGE = 256 * 1024
"""Characters (or bytes): what is longer goes in pieces."""

PIECES_A_PACKET = 8
"""A character takes up to four bytes on the wire, and the packet is not to be filled."""


@dataclass(frozen=True, slots=True)
class Document:
    """One large value, and the cell it belongs into."""

    table: Table
    key: dict[str, Any]
    column: str
    value: str | bytes


def set_aside(
    table: Table, rows: Sequence[dict[str, Any]], columns: Sequence[str]
) -> list[Document]:
    """Take the large values of `columns` out of the rows; each leaves an empty one behind."""
    keys = [column.name for column in table.primary_key]
    found = []
    for row in rows:
        for column in columns:
            value = row[column]
            if value is None or len(value) <= LARGE:
                continue
            found.append(Document(table, {name: row[name] for name in keys}, column, value))
            row[column] = type(value)()
    return found


async def put_back(connection: AsyncConnection, documents: Sequence[Document]) -> None:
    """Fill the cells that the upsert left empty; where it changed nothing, nothing is empty.

    Raises `HistoryRejected` for a document that no number of pieces can make fit.
    """
    if not documents:
        return
    packet = (await connection.execute(text("SELECT @@max_allowed_packet"))).scalar_one()
    for document in documents:
        await _put_back(connection, document, int(packet))


async def _put_back(connection: AsyncConnection, document: Document, packet: int) -> None:
    value = document.value
    size = len(value.encode()) if isinstance(value, str) else len(value)
    if size >= packet:
        raise HistoryRejected(
            f"{document.column} has {size} bytes, and the database's max_allowed_packet is {packet}"
        )
    cell = document.table.c[document.column]
    row = update(document.table).where(
        *(document.table.c[name] == key for name, key in document.key.items())
    )
    length = packet // PIECES_A_PACKET
    first = row.where(cell == type(value)()).values({cell: value[:length]})
    if not (await connection.execute(first)).rowcount:
        return
    for start in range(length, len(value), length):
        piece = value[start : start + length]
        await connection.execute(row.values({cell: func.concat(cell, piece)}))
