"""The exports store: files by default, S3-compatible object storage by URL, through one library.

Two folders of it: `exports/` is what people download, `checkpoints/` is where the engine keeps step
outputs that are too large for Redis; no download reaches that one.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store
from stepline.authoring import StoredExport
from stepline.errors import Retry, SteplineError

from infra.settings import make_folder

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import RetryConfig

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

NAME = re.compile(r"[^\W_][\w.\-]*")
MAX_NAME_BYTES = 200
"""File systems take 255 bytes, and a file that is being written has a suffix."""
CHUNK = 256 * 1024
SETTLE = 0.05
"""Seconds at exit for obstore's threads to let go of Python objects. One that waits for the
interpreter while it ends aborts the process (PyO3/pyo3-async-runtimes#40)."""
ABORT_TIMEOUT = 5.0
"""Seconds that a cancelled write may take to remove what it has stored so far."""
S3_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
"""Short: the task's own retry policy waits better than a request that hangs."""


atexit.register(time.sleep, SETTLE)


class BadExportName(SteplineError):
    """Not a name that this store makes."""

    code = "bad_export_name"


class ExportsUnavailable(SteplineError):
    """The store does not answer now."""

    code = "exports_unavailable"


class _Stopped(Exception):
    """Makes the store abort a write."""


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """What is known of a stored export: size in bytes, an entity tag without its quotes."""

    name: str
    size: int
    etag: str
    modified: datetime
    content_type: str


def validate_name(name: str) -> str:
    """A file name of at most 200 bytes: letters of any script, digits, `_`, `-` and `.`, none of
    them leading but a letter or digit. Raises `BadExportName`."""
    if not NAME.fullmatch(name) or ".." in name or len(name.encode()) > MAX_NAME_BYTES:
        raise BadExportName(f"not an export's name: {name[:100]!r}")
    return name


class ExportsStore:
    """`stepline.authoring.Exports`, and what downloads and the engine need beside it."""

    def __init__(self, store: ObjectStore, location: str) -> None:
        self._store = store
        self._location = location

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> StoredExport:
        """As the port says; empty chunks only keep the write cancellable. Raises `Retry` (code
        `exports_failed`) when the store fails; what the chunks raise comes out unchanged."""
        path = EXPORTS + validate_name(name)
        digest, size, stopped = hashlib.sha256(), 0, False

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                if stopped:
                    raise _Stopped
                if chunk:
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk

        async def put() -> None:
            with _failing_as_retry():
                await obstore.put_async(self._store, path, counted())

        putting = asyncio.create_task(put())
        try:
            await asyncio.shield(putting)
        except asyncio.CancelledError:
            # a source that fails makes the store remove the parts; cancelling leaves them behind
            stopped = True
            await asyncio.wait({putting}, timeout=ABORT_TIMEOUT)
            if not putting.cancel():
                putting.exception()
            raise
        return StoredExport(name, f"{self._location}/{path}", size, digest.hexdigest())

    async def stat(self, name: str) -> ExportInfo | None:
        """None if there is no such export. Raises `ExportsUnavailable`."""
        try:
            meta = await obstore.head_async(self._store, EXPORTS + validate_name(name))
        except (FileNotFoundError, BadExportName):
            return None
        except (BaseError, OSError) as error:
            raise ExportsUnavailable(_words(error)) from error
        extension = name.rpartition(".")[2]
        return ExportInfo(
            name=name,
            size=meta["size"],
            etag=(meta["e_tag"] or "").strip('"'),
            modified=meta["last_modified"],
            content_type=CONTENT_TYPES.get(extension, "application/octet-stream"),
        )

    async def read(
        self, name: str, start: int = 0, end: int | None = None, *, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `end`, all of one version of the file:
        the one with that `etag`, else the present one. Raises `FileNotFoundError` when it is gone,
        `ExportsUnavailable` when the store fails or the file is replaced meanwhile."""
        path = EXPORTS + validate_name(name)
        try:
            if end is None or etag is None:
                meta = await obstore.head_async(self._store, path)
                end = meta["size"] if end is None else end
                etag = etag or (meta["e_tag"] or "").strip('"')
            # many short requests: one long one would time out under a slow reader
            for offset in range(start, end, CHUNK):
                part: GetOptions = {
                    "range": (offset, min(offset + CHUNK, end)),
                    "if_match": f'"{etag}"',
                }
                found = await obstore.get_async(self._store, path, options=part)
                yield bytes(await found.bytes_async())
        except BaseError as error:
            raise ExportsUnavailable(_words(error)) from error

    async def put_blob(self, key: str, data: bytes) -> None:
        """Keep a checkpoint. Raises `Retry` when the store fails."""
        with _failing_as_retry():
            await obstore.put_async(self._store, CHECKPOINTS + key, data)

    async def get_blob(self, key: str) -> bytes | None:
        """None if there is none. Raises `Retry` when the store fails."""
        with _failing_as_retry():
            try:
                found = await obstore.get_async(self._store, CHECKPOINTS + key)
                return bytes(await found.bytes_async())
            except FileNotFoundError:
                return None

    async def delete_blobs(self, prefix: str) -> None:
        """Forget all checkpoints in the folder `prefix`. Raises `Retry` when the store fails."""
        with _failing_as_retry():
            async for batch in obstore.list(self._store, prefix=CHECKPOINTS + prefix):
                await obstore.delete_async(self._store, [meta["path"] for meta in batch])


def _words(error: Exception) -> str:
    """What went wrong, without the library's dump of its own state."""
    return f"the exports store failed: {str(error).partition(chr(10))[0]}"


@contextmanager
def _failing_as_retry() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise Retry(_words(error), code="exports_failed") from error


def open_exports(url: str) -> ExportsStore:
    """The store at `file:///folder` or `s3://bucket/prefix` (endpoint and credentials come from the
    usual `AWS_*` variables). A missing folder is made."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path))
        make_folder(folder, "STEPLINE_DATA_DIR or STEPLINE_EXPORTS_URL")
        return ExportsStore(LocalStore(folder), folder.as_uri())
    prefix = parts.path.strip("/")
    store = S3Store(
        parts.netloc,
        prefix=prefix or None,
        client_options={"allow_http": True},
        retry_config=S3_RETRIES,
    )
    return ExportsStore(store, url.rstrip("/"))
