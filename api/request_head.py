"""A bound for a request's head, which uvicorn and its parser have none for."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
"""Bytes that a request line and its headers may take together."""

HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection whose request's head does not: the parser would keep all of it."""

    _head: int | None = None
    """Bytes of an unfinished head so far; None outside of one."""

    def data_received(self, data: bytes) -> None:
        was_open = self._head is not None
        super().data_received(data)
        # what begins in the middle of `data` is counted from the next piece on
        if not was_open or self._head is None or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            self.transport.write(HEAD_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()
