"""A cheap HTTP/1.1 client: the load shall cost little beside the server that it loads."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time; made on first use, and again when the
    server has closed it for want of requests. Answers need a Content-Length."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._transport: Any = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""
        self._wanted = 0
        self._body_at = 0

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._wanted:
            head = self._received.find(END)
            if head < 0:
                return
            length = LENGTH.search(self._received, 0, head)
            self._body_at = head + len(END)
            self._wanted = self._body_at + (int(length[1]) if length else 0)
        if len(self._received) >= self._wanted and self._answer is not None:
            answer = int(self._received[9:12]), self._received[self._body_at : self._wanted]
            self._received, self._wanted = b"", 0
            waiting, self._answer = self._answer, None
            waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None:
            self._answer.set_exception(error or ConnectionResetError("closed by the server"))

    async def request(self, head_and_body: bytes) -> tuple[int, bytes]:
        """Send what `request_bytes` made; (status, body)."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._transport, _ = await loop.create_connection(
                lambda: self, self._address.hostname or "", self._address.port or 80
            )
        self._answer = loop.create_future()
        self._transport.write(head_and_body)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def request_bytes(
    url: str, method: str, path: str, body: bytes = b"", headers: tuple[str, ...] = ()
) -> bytes:
    """A whole request, to be sent many times."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {urlsplit(url).netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + END + body


class Stream:
    """Requests whose answer is an event stream, one after the other on one connection."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._reader: Any = None
        self._writer: Any = None

    async def until(self, request: bytes, mark: bytes) -> None:
        """Send, and return when `mark` has come."""
        await self._finish()
        if self._reader is None or self._reader.at_eof():
            self._reader, self._writer = await asyncio.open_connection(
                self._address.hostname, self._address.port
            )
        self._writer.write(request)
        await self._reader.readuntil(mark)
        self._rest_is_due = True

    _rest_is_due = False

    async def _finish(self) -> None:
        """Read what follows the mark, of the answer before."""
        if self._rest_is_due:
            self._rest_is_due = False
            await self._reader.readuntil(LAST_CHUNK)

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
