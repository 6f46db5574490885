"""CSV: a header of all fields, UTF-8 without a mark, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator
from typing import Any

from handlers.exporters.shape import Count, columns, unseen
from handlers.exporters.text import plain

FORMULA = re.compile(r"'*[=+\-@\t\r\n\0]")
ROWS_A_PIECE = 500


def to_csv(records: list[Any], single: bool, count: Count = unseen) -> Generator[bytes, None, None]:
    """One row a record. A missing field is empty, null is `null`, nested values are JSON; a text
    that a spreadsheet would take for a formula gets a leading apostrophe. So does such a text that
    has apostrophes before it already: taking one away always gives back what went in."""
    del single
    names = columns(records)
    yield _rows([[guarded(name) for name in names]] if names else [])
    for start in range(0, len(records), ROWS_A_PIECE):
        piece = records[start : start + ROWS_A_PIECE]
        yield _rows([[_cell(record, name) for name in names] for record in piece])
        count(start + len(piece))


def _cell(record: dict[str, Any], name: str) -> str:
    if name not in record:
        return ""
    value = record[name]
    return guarded(value) if isinstance(value, str) else plain(value)


def guarded(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) else text


def _rows(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_MINIMAL).writerows(rows)
    return buffer.getvalue().encode()
