"""A response's own connection: one write for each viewer of an event, without layers between.

ASGI would have each viewer's task wake up and send each event through every middleware. Here the
bytes of an event, HTTP chunk included, are made once, and handed to each viewer's socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.types import Scope

from api.request_head import BoundedProtocol
from infra.sse import chunk

WIRE = "stepline.wire"
"""The ASGI extension by which a response finds its connection."""

PING = chunk(b": ping\n\n")
STALLED_BEATS = 2


class Wire(BoundedProtocol):
    """uvicorn's connection, which a response may write to while it is the one that is sent."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.on_lost: Callable[[], None] | None = None
        """Called when the connection has gone."""
        self.gone = False
        self._stalled = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {WIRE: {"connection": self}}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone = True
        if self.on_lost is not None:
            self.on_lost()

    def resume_writing(self) -> None:
        self._stalled = 0
        super().resume_writing()

    @property
    def full(self) -> bool:
        """The reader has not taken what it was sent: give it no more until it is `drained`."""
        return self.flow.write_paused

    async def drained(self) -> None:
        """Returns when the reader has taken most of what it was sent, or has gone."""
        await self.flow.drain()

    def write(self, part: bytes) -> None:
        """Send a part of the body: one or several HTTP chunks."""
        if not self.transport.is_closing():
            self.transport.write(part)

    def beat(self) -> None:
        """Send a comment, so that nobody between takes the connection for dead. A reader that was
        full at the last beat and has taken next to nothing since is cut: it would hold memory for
        ever, and can come back where it was."""
        if not self.full:
            self.write(PING)
            return
        self._stalled += 1
        if self._stalled >= STALLED_BEATS:
            self.transport.abort()


def wire_of(scope: Scope) -> Wire:
    """The connection of the request. Raises `RuntimeError` under a server that is not ours."""
    extension = scope.get("extensions", {}).get(WIRE)
    if extension is None:
        raise RuntimeError("event streams need the server of `api.server`")
    wire: Wire = extension["connection"]
    return wire
