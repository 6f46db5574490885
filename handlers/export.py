"""The export handler: the data as a file in the exports store, streamed there piece by piece."""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from stepline.authoring import Context, RetryPolicy, handler
from stepline.contract import ChainItem, ExportConfig
from stepline.errors import Reject
from yaml import YAMLError

from handlers.exporters.csv_format import to_csv
from handlers.exporters.shape import Count, shaped
from handlers.exporters.text import to_json, to_txt, to_yaml
from handlers.exporters.xlsx_format import to_xlsx
from handlers.exporters.xml_format import to_xml
from handlers.report import StepError, StepReport, current_payload

Exporter = Callable[[list[Any], bool, Count], Generator[bytes, None, None]]

EXPORTERS: dict[str, Exporter] = {
    "json": to_json,
    "csv": to_csv,
    "xml": to_xml,
    "yaml": to_yaml,
    "txt": to_txt,
    "xlsx": to_xlsx,
}
PIECE = 256 * 1024
TURN = 0.25
"""Bytes, or seconds, that a thread works at a time; between two turns the step can be cancelled."""
MANY = 1_000
"""Records from which on progress is told."""
UNWRITABLE = (Reject, YAMLError, TypeError, ValueError, OverflowError, RecursionError)

MAX_STEM_BYTES = 150
NOT_IN_NAMES = re.compile(r"[^\w\-]+")


@handler(retry=RetryPolicy(attempts=5, base=1.0, cap=60.0))
async def export(ctx: Context, item: ChainItem) -> dict[str, Any]:
    """Write the payload in the format that is asked for, JSON by default."""
    data = item.data
    config = data.export_config or ExportConfig()
    wanted = config.format or data.export_format or "json"
    payload = current_payload(ctx, item)
    single = not isinstance(payload, list)
    name = export_name(ctx.idempotency_key, config.filename, wanted)
    try:
        records = await asyncio.to_thread(_shape_all, [payload] if single else payload, config)
        progress = Progress(ctx, len(records))
        chunks = EXPORTERS[wanted](records, single, progress.count)
        stored = await ctx.exports.write(name, in_pieces(chunks, progress.tell))
        await progress.tell()
    except UNWRITABLE as error:
        report = StepReport(
            message=f"The {wanted} export failed.",
            status="failed",
            errors=[StepError(error=str(error))],
        )
        raise Reject(
            f"export as {wanted}: {error}", code="export_failed", output=report.dump()
        ) from error
    result = {
        "format": wanted,
        "filename": stored.name,
        "location": stored.location,
        "size_bytes": stored.size_bytes,
        "record_count": len(records),
        "sha256": stored.sha256,
        "exported_at": datetime.now(UTC),
        "download": f"/exports/{stored.name}",
    }
    count = len(records)
    message = f"Exported {count} record{'' if count == 1 else 's'} as {wanted}."
    return StepReport(message=message, result=result).dump()


class Progress:
    """Of a large export: counted in the thread that makes it, told from the event loop."""

    def __init__(self, ctx: Context, total: int) -> None:
        self._ctx = ctx
        self._total = total
        self._done = 0

    def count(self, done: int) -> None:
        self._done = done

    async def tell(self) -> None:
        if self._total >= MANY:
            told = f"{self._done:,} of {self._total:,} records"
            await self._ctx.progress(self._done, self._total, told)


def _shape_all(records: list[Any], config: ExportConfig) -> list[dict[str, Any]]:
    if not config.flatten and config.fields is None and not config.exclude_fields:
        return records
    return [shaped(record, config) for record in records]


def export_name(idempotency_key: str, filename: str | None, extension: str) -> str:
    """The same step always writes the same file; two steps never do. A name that the user gave is
    kept as far as file names allow."""
    stem = unicodedata.normalize("NFC", filename or "export")
    stem = stem.removesuffix(f".{extension}")
    stem = NOT_IN_NAMES.sub("-", stem).encode()[:MAX_STEM_BYTES].decode(errors="ignore")
    stem = stem.strip("-_") or "export"
    return f"{stem}-{sha256(idempotency_key.encode()).hexdigest()[:12]}.{extension}"


async def in_pieces(
    chunks: Generator[bytes, None, None], tell: Callable[[], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """The chunks in pieces of some `PIECE` bytes, each made in a thread; an empty piece where a
    turn made none."""
    try:
        while (piece := await asyncio.to_thread(_next_piece, chunks)) is not None:
            yield piece
            await tell()
    finally:
        await asyncio.to_thread(chunks.close)  # an exporter may have files to close


def _next_piece(chunks: Generator[bytes, None, None]) -> bytes | None:
    """None at the end."""
    parts: list[bytes] = []
    size, until = 0, time.monotonic() + TURN
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= PIECE or time.monotonic() >= until:
            break
    return b"".join(parts) if parts else None
