"""Reading an answer's body with its decoded size capped, so that no small gzip fills the memory."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncIterable

from stepline.errors import Reject, Retry

ACCEPT_ENCODING = "gzip, deflate"

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_MEMBERS = 100
"""Each further member costs a copy of the rest: thousands of empty ones would hold up the loop."""

_OVERHEAD = 65_536
"""Bytes that an encoding may add to a body: more is an endless stream of nothing."""

_UNFIT_CODECS = frozenset(
    {"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "utf-7"}
)
"""Python decodes these, but they are slow on purpose-made input or no charset of the web."""


async def read_capped(chunks: AsyncIterable[bytes], encoding: str, max_bytes: int) -> bytes:
    """The decoded body. Raises `Reject` (code `fetch_too_large`, or `fetch_failed` for an encoding
    that was not asked for) or `Retry` (code `fetch_failed`) when it is broken."""
    decoder = _decoder(encoding)
    body = bytearray()
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        body += decoder.feed(chunk, max_bytes - len(body) + 1)
        if len(body) > max_bytes or received > max_bytes + _OVERHEAD:
            raise Reject(f"the answer is larger than {max_bytes} bytes", code="fetch_too_large")
    decoder.finish()
    return bytes(body)


def fit_charset(name: str | None) -> str:
    """`name` as a codec that text of the web may be decoded with; utf-8 where it is not one."""
    try:
        codec = codecs.lookup(name or "utf-8").name
        if codec in _UNFIT_CODECS:
            return "utf-8"
        "a".encode(codec)  # refuses codecs that are not of text, such as hex
    except (LookupError, ValueError):
        return "utf-8"
    return codec


class _Plain:
    def feed(self, chunk: bytes, room: int) -> bytes:
        return chunk[:room]

    def finish(self) -> None:
        return


class _Inflate:
    """gzip (also of several members) and deflate (with or without zlib's header)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflater: zlib._Decompress | None = None
        self._members = 0
        self._done = False

    def feed(self, chunk: bytes, room: int) -> bytes:
        out = bytearray()
        while chunk and not self._done and len(out) < room:
            if self._inflater is None or self._inflater.eof:
                if self._members and not self._continues(chunk):
                    self._done = True
                    break
                self._inflater = zlib.decompressobj(self._window(chunk))
                self._members += 1
            try:
                out += self._inflater.decompress(chunk, room - len(out))
            except zlib.error as error:
                raise Retry("the compressed answer is broken", code="fetch_failed") from error
            chunk = self._inflater.unused_data
        return bytes(out)

    def finish(self) -> None:
        if self._inflater is not None and not self._inflater.eof:
            raise Retry("the compressed answer was cut short", code="fetch_failed")

    def _continues(self, chunk: bytes) -> bool:
        # Padding after the end is common and harmless: it is left unread.
        if not self._gzip or not chunk.startswith(_GZIP_MAGIC[: len(chunk)]):
            return False
        if self._members >= _MAX_MEMBERS:
            raise Reject("the answer is gzip of too many pieces", code="fetch_too_large")
        return True

    def _window(self, chunk: bytes) -> int:
        if self._gzip:
            return _GZIP
        return zlib.MAX_WBITS if chunk[0] & 0x0F == 8 else -zlib.MAX_WBITS


def _decoder(encoding: str) -> _Plain | _Inflate:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Inflate(gzip=True)
        case "deflate":
            return _Inflate(gzip=False)
        case _:
            raise Reject(
                f"the answer came in an encoding that was not asked for: {encoding[:50]}",
                code="fetch_failed",
            )
