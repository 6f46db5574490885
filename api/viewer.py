"""One reader of a stream: it is sent what is kept, and then what happens, without a gap between.

Listen first and read what is kept after: what happens meanwhile is heard, and read too. Once there
is nothing left to read the viewer is live, and costs nothing but a write for each event; its task
sleeps until something was missed, or the end.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.heartbeat import Heartbeat
from api.wire import Wire, wire_of
from infra.history.base import HistoryUnavailable
from infra.sse import chunk
from infra.state.redis import StateUnavailable

FIRST_PAGE, PAGE = 20, 200
"""Events read at a time: at first, and at most."""
PAGE_BYTES = 128 * 1024
"""Of a page, as far as the one before tells how large events are: what a reader who takes nothing
may cost."""

AWAY_PAUSE = 1.0


class Viewer(ABC):
    """Subclasses know what is kept and how to listen; a source calls `missed` and `end`, and
    subclasses write what they hear while `live`."""

    def __init__(self) -> None:
        self.wire: Wire
        self.position: tuple[int, ...] = ()
        """The id of the last event that was written, or that the reader has had before."""
        self.heard: tuple[int, ...] = ()
        """The id of the last event that came while the viewer was not live."""
        self.live = False
        self.over = False
        self.page = FIRST_PAGE
        """How many events to read next."""
        self._missed = False
        self._asleep: asyncio.Future[None] | None = None

    @abstractmethod
    def listening(self) -> AbstractAsyncContextManager[None]:
        """While this is entered, all that happens is heard."""

    @abstractmethod
    async def read(self) -> Sequence[bytes]:
        """The next frames of what is kept, about a `page` of them, up to the new `position`; none:
        there are no more."""

    def missed(self) -> None:
        """Something may have happened that was not heard: read it."""
        self._missed = True
        self.live = False
        self._wake()

    def end(self) -> None:
        """The stream has ended, or its reader has gone."""
        self.over = True
        self.live = False
        self._wake()

    def _wake(self) -> None:
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    async def run(self, wire: Wire) -> None:
        """Write to `wire` until the end."""
        self.wire = wire
        if wire.gone:  # before anybody listened for that
            return
        wire.on_lost = self.end
        try:
            wire.write(chunk(b"retry: %d\n\n" % (1000 + random.randrange(1000))))
            while not self.over:
                await self._catch_up()
                if not (self.over or self._missed or self.heard > self.position):
                    await self._sleep()
        finally:
            wire.on_lost = None

    async def _catch_up(self) -> None:
        self._missed = False
        while not self.over:
            if self.wire.full:
                await self.wire.drained()
            try:
                frames = await self.read()
            except (StateUnavailable, HistoryUnavailable):  # the reader stays: they come back
                await asyncio.sleep(AWAY_PAUSE * (0.5 + random.random()))
                continue
            if not frames:
                return
            self.wire.write(chunk(b"".join(frames)))
            average = max(1, sum(map(len, frames)) // len(frames))
            self.page = max(1, min(PAGE, PAGE_BYTES // average))

    async def _sleep(self) -> None:
        self.live = True
        self._asleep = asyncio.get_running_loop().create_future()
        try:
            await self._asleep
        finally:
            self.live = False
            self._asleep = None


class EventStream(Response):
    """The answer that is a viewer's stream."""

    media_type = "text/event-stream"

    def __init__(self, viewer: Viewer, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = 200
        self.background = None
        no_buffers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
        self.init_headers(no_buffers | dict(headers or {}))
        self._viewer = viewer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What cannot be listened to is told by an error answer: nothing was sent before."""
        wire = wire_of(scope)
        heartbeat: Heartbeat = scope["app"].state.heartbeat
        async with self._viewer.listening():
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            with heartbeat.beating(wire):
                await self._viewer.run(wire)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
