"""CSV texts as tasks: read, checked row by row, summed up column by column."""

from __future__ import annotations

import csv
import io
import statistics
from typing import Any

from pydantic import BaseModel, Field
from stepline import Context, Reject, handler, task_type

MOST_ERRORS = 100
"""Row errors that the result lists; the rest is counted."""


class CsvImport(BaseModel):
    """A CSV text with a header line."""

    text: str = Field(max_length=5_000_000, examples=["name,age\nAda,36\nBob,41\n"])
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    required: list[str] = Field(default=[], description="Columns that no row may leave empty.")
    numbers: list[str] = Field(default=[], description="Columns that hold numbers.")


@handler
def read_rows(ctx: Any, payload: CsvImport) -> dict[str, Any]:
    """The rows as they stand. A plain `def`: parsing megabytes must not block the event loop."""
    try:
        dialect: Any = csv.excel
        if payload.delimiter is None and payload.text.strip():
            dialect = csv.Sniffer().sniff(payload.text[:10_000], delimiters=",;\t|")
        options = {"delimiter": payload.delimiter} if payload.delimiter else {}
        reader = csv.DictReader(io.StringIO(payload.text), dialect=dialect, **options)
        header = list(reader.fieldnames or [])
        rows = [dict(row) for row in reader if None not in row]
        ragged = reader.line_num - 1 - len(rows)
    except csv.Error as error:
        raise Reject(f"this is no CSV: {error}", code="not_csv") from error
    missing = [name for name in (*payload.required, *payload.numbers) if name not in header]
    if missing:
        raise Reject(f"no column {missing[0]!r}; there are {header}", code="missing_column")
    ctx.progress(len(rows), len(rows), f"{len(rows)} rows, {ragged} of them ragged or blank")
    return {"header": header, "rows": rows}


@handler
async def check_rows(ctx: Context, payload: CsvImport) -> dict[str, Any]:
    """Which rows are good; every bad one is told, with its line."""
    rows = ctx.outputs["read_rows"]["rows"]
    good, errors = [], []
    for line, row in enumerate(rows, start=2):
        problems = _problems(row, payload)
        if problems:
            errors.append({"line": line, "problems": problems})
            await ctx.log(f"line {line}: {problems[0]}")
        else:
            good.append(row)
        await ctx.progress(line - 1, len(rows))
    return {"good": good, "errors": errors[:MOST_ERRORS], "bad_rows": len(errors)}


@handler(skip=lambda ctx: not ctx.outputs["check_rows"]["good"])
async def sum_up(ctx: Context, payload: CsvImport) -> dict[str, Any]:
    """Figures of each column, streamed as they are found."""
    rows = ctx.outputs["check_rows"]["good"]
    columns = {}
    for name in ctx.outputs["read_rows"]["header"]:
        values = [row[name] for row in rows if row[name]]
        column: dict[str, Any] = {"filled": len(values), "distinct": len(set(values))}
        if name in payload.numbers:
            numbers = [float(value) for value in values]
            column |= {"mean": statistics.fmean(numbers), "max": max(numbers)}
        columns[name] = column
        await ctx.emit({"column": name, **column})
    return {
        "rows": len(rows),
        "bad_rows": ctx.outputs["check_rows"]["bad_rows"],
        "errors": ctx.outputs["check_rows"]["errors"],
        "columns": columns,
    }


def _problems(row: dict[str, Any], payload: CsvImport) -> list[str]:
    problems = [f"{name} is empty" for name in payload.required if not (row[name] or "").strip()]
    for name in payload.numbers:
        value = row[name] or ""
        try:
            float(value)
        except ValueError:
            problems.append(f"{name} is no number: {value[:50]!r}")
    return problems


CSV_IMPORT = task_type(
    "csv_import",
    payload=CsvImport,
    handlers=[read_rows, check_rows, sum_up],
    queue="imports",
    description="A CSV text, checked row by row, summed up column by column.",
)
