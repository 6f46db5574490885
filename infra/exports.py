"""The exports store: files by default, S3-compatible object storage by URL, through one library.

Two folders of it: `exports/` is what people download, `checkpoints/` is where the engine keeps step
outputs that are too large for Redis; no download reaches that one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store
from stepline.authoring import StoredExport
from stepline.errors import Retry, SteplineError

EXPORTS = "exports/"
CHECKPOINTS = "checkpoints/"

CONTENT_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "txt": "text/plain; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

NAME = re.compile(r"[^\W_][\w.\-]{0,199}")
CHUNK = 256 * 1024


class BadExportName(SteplineError):
    """Not a name that this store makes."""

    code = "bad_export_name"


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """What is known of a stored export: size in bytes, an entity tag without its quotes."""

    name: str
    size: int
    etag: str
    modified: datetime
    content_type: str


def validate_name(name: str) -> str:
    """A file name: letters of any script, digits, `_`, `-` and `.`, none of them leading but a
    letter or digit. Raises `BadExportName`."""
    if not NAME.fullmatch(name) or ".." in name:
        raise BadExportName(f"not an export's name: {name[:100]!r}")
    return name


class ExportsStore:
    """`stepline.authoring.Exports`, and what downloads and the engine need beside it."""

    def __init__(self, store: ObjectStore, location: str) -> None:
        self._store = store
        self._location = location

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> StoredExport:
        path = EXPORTS + validate_name(name)
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        try:
            await obstore.put_async(self._store, path, counted())
        except (BaseError, OSError) as error:
            raise Retry(f"the exports store failed: {error}", code="exports_failed") from error
        return StoredExport(name, f"{self._location}/{path}", size, digest.hexdigest())

    async def stat(self, name: str) -> ExportInfo | None:
        """None if there is no such export."""
        try:
            meta = await obstore.head_async(self._store, EXPORTS + validate_name(name))
        except (NotFoundError, FileNotFoundError, BadExportName):
            return None
        extension = name.rpartition(".")[2]
        return ExportInfo(
            name=name,
            size=meta["size"],
            etag=(meta["e_tag"] or "").strip('"'),
            modified=meta["last_modified"],
            content_type=CONTENT_TYPES.get(extension, "application/octet-stream"),
        )

    async def read(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `end`."""
        path = EXPORTS + validate_name(name)
        if end is None:
            end = (await obstore.head_async(self._store, path))["size"]
        for offset in range(start, end, CHUNK):
            stop = min(offset + CHUNK, end)
            yield bytes(await obstore.get_range_async(self._store, path, start=offset, end=stop))

    async def put_blob(self, key: str, data: bytes) -> None:
        """Keep a checkpoint. Raises `Retry` when the store fails."""
        try:
            await obstore.put_async(self._store, CHECKPOINTS + key, data)
        except (BaseError, OSError) as error:
            raise Retry(f"the exports store failed: {error}", code="exports_failed") from error

    async def get_blob(self, key: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, CHECKPOINTS + key)
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            return None

    async def delete_blobs(self, prefix: str) -> None:
        """Forget all checkpoints under `prefix`."""
        for batch in obstore.list(self._store, prefix=CHECKPOINTS + prefix):
            await obstore.delete_async(self._store, [meta["path"] for meta in batch])


def open_exports(url: str) -> ExportsStore:
    """The store at `file:///folder` or `s3://bucket/prefix` (endpoint and credentials come from the
    usual `AWS_*` variables). A missing folder is made."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True)
        return ExportsStore(LocalStore(folder), folder.as_uri())
    prefix = parts.path.strip("/")
    store = S3Store(
        parts.netloc,
        prefix=prefix or None,
        client_options={"allow_http": True},
    )
    return ExportsStore(store, url.rstrip("/"))
