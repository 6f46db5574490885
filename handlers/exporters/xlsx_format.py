"""XLSX: one sheet, numbers as numbers, every text as text and never as a formula or a link."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import xlsxwriter
from stepline.errors import Reject

from handlers.exporters.shape import Count, columns, unseen
from handlers.exporters.text import plain

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
MAX_TEXT = 32_767
EXACT_INTEGER = 2**53
RECORDS_A_TURN = 500
PIECE = 256 * 1024


def to_xlsx(
    records: list[Any], single: bool, count: Count = unseen
) -> Generator[bytes, None, None]:
    """A header row, then one row a record; nested values and numbers that a sheet cannot hold
    exactly are text."""
    del single
    names = columns(records)
    if len(records) + 1 > MAX_ROWS or len(names) > MAX_COLUMNS:
        raise Reject(
            f"a sheet holds {MAX_ROWS - 1:,} records of {MAX_COLUMNS:,} fields, not "
            f"{len(records):,} of {len(names):,}",
            code="export_failed",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.xlsx"
        for done in _written(path, names, records, folder):
            count(done)
            yield b""  # whoever waits may stop waiting here
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece


def _written(path: Path, names: list[str], records: list[Any], folder: str) -> Iterator[int]:
    """Writes the file, and now and then says how many records it holds."""
    options = {"constant_memory": True, "tmpdir": folder, "in_memory": False}
    with xlsxwriter.Workbook(str(path), options) as workbook:
        sheet = workbook.add_worksheet("export")
        bold = workbook.add_format({"bold": True})
        for place, name in enumerate(names):
            sheet.write_string(0, place, _bounded(name), bold)
        for row, record in enumerate(records, start=1):
            for place, name in enumerate(names):
                if name in record:
                    _cell(sheet, row, place, record[name])
            if row % RECORDS_A_TURN == 0:
                yield row
    yield len(records)


def _fits(value: Any) -> bool:
    """A sheet's number has 16 digits: rounding the largest floats to that overflows."""
    if isinstance(value, float):
        return math.isfinite(float(f"{value:.16G}"))
    return isinstance(value, int) and abs(value) <= EXACT_INTEGER


def _cell(sheet: Any, row: int, place: int, value: Any) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(row, place, value)
    elif _fits(value):
        sheet.write_number(row, place, value)
    else:
        sheet.write_string(row, place, _bounded(plain(value)))


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Reject(
            f"a cell of a sheet holds {MAX_TEXT:,} characters, not {len(text):,}",
            code="export_failed",
        )
    return text
