"""The feed of all tasks: one bounded stream in Redis, read once a process for all its viewers.

An entry of the stream holds events that were written at once; an event's id is its entry's and its
place in it, `ms-n:place`. Each event is encoded once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import structlog
from stepline.contract import EventKind, ServiceEventKind, Status

from infra.codec import dumps, loads
from infra.sse import chunk
from infra.sse import frame as sse_frame
from infra.state.redis import REDIS_ERRORS, Connections, translated
from infra.state.store import PREFIX

FEED = f"{PREFIX}feed"
PAGE = 500
BLOCK_MS = 5_000

STATUS_AFTER: dict[str, Status] = {
    EventKind.QUEUED: Status.PENDING,
    EventKind.RETRY_SCHEDULED: Status.RETRYING,
    EventKind.SUCCEEDED: Status.SUCCESS,
    EventKind.FAILED: Status.FAILURE,
    EventKind.CANCELLED: Status.CANCELLED,
}
"""What a task is after an event of this kind; after any other it is RUNNING."""

SERVICE_EVENTS: frozenset[str] = frozenset(ServiceEventKind)

FeedId: TypeAlias = tuple[int, int, int]
"""(milliseconds, number, place)."""

BEGINNING: FeedId = (0, 0, 0)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """An event in the feed, and its bytes on the wire, one copy for all. One of the service
    itself has no type and no status, and a queue only if it is about one. A newer version may
    have kinds that this one does not know."""

    id: FeedId
    kind: str
    type: str
    queue: str
    frame: bytes
    chunk: bytes

    @property
    def status(self) -> Status | None:
        if self.kind in SERVICE_EVENTS:
            return None
        return STATUS_AFTER.get(self.kind, Status.RUNNING)


def format_feed_id(feed_id: FeedId) -> str:
    return "{}-{}:{}".format(*feed_id)


def parse_feed_id(text: str) -> FeedId:
    """Raises `ValueError`."""
    entry, _, place = text.partition(":")
    major, _, minor = entry.partition("-")
    parts = (major, minor, place)
    if len(text) > 60 or not all(part.isdecimal() for part in parts):
        raise ValueError(f"not an id of the feed: {text!r}")
    return int(major), int(minor), int(place)


class FeedListener(Protocol):
    """Hears of each event, once and in order."""

    def hear(self, event: FeedEvent) -> None: ...

    def missed(self) -> None:
        """Something may have happened that was not heard."""

    def end(self) -> None:
        """The process is stopping: nothing more will come."""


class Feed:
    """Reads the stream while somebody watches."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.client(max_connections=4)
        self._live = connections.stream_client()
        self._listeners: set[FeedListener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        await self._stop()
        await self._client.aclose()
        await self._live.aclose()

    def end_all(self) -> None:
        """Send every viewer away: they come back elsewhere."""
        for listener in tuple(self._listeners):
            listener.end()

    @asynccontextmanager
    async def listen(self, listener: FeedListener) -> AsyncIterator[None]:
        """Everything that happens after this is entered reaches the listener."""
        async with self._starting:
            if self._reader is None:
                start = await self.last()
                self._reader = asyncio.create_task(self._read(start), name="feed")
            self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                await self._stop()

    async def last(self) -> FeedId:
        """The id of the newest event; (0, 0, 0) of an empty feed."""
        with translated():
            newest = await self._client.xrevrange(FEED, count=1)
        return _events(*newest[0])[-1].id if newest else BEGINNING

    async def after(self, feed_id: FeedId, limit: int = PAGE) -> list[FeedEvent]:
        """The event with that id, if it is kept, and those after it: at most `limit` entries."""
        start = f"{feed_id[0]}-{feed_id[1]}"
        with translated():
            entries = await self._client.xrange(FEED, min=start, count=limit)
        events = [event for entry in entries for event in _events(*entry)]
        return [event for event in events if event.id >= feed_id]

    async def _stop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    async def _read(self, start: FeedId) -> None:
        position = f"{start[0]}-{start[1]}"
        while True:
            try:
                answer: Any = await self._live.xread({FEED: position}, block=BLOCK_MS, count=PAGE)
                for _, entries in answer or ():
                    for entry_id, fields in entries:
                        position = entry_id.decode()
                        for event in _events(entry_id, fields):
                            for listener in tuple(self._listeners):
                                listener.hear(event)
                continue
            except REDIS_ERRORS as error:
                log.warning("feed_disconnected", error=str(error))
            except Exception:  # one entry that cannot be read does not silence all others
                log.exception("feed_failed")
            await asyncio.sleep(0.1 + random.random() * 0.4)
            for listener in tuple(self._listeners):
                listener.missed()  # what came meanwhile, each reads for itself


def _events(entry_id: bytes, fields: dict[bytes, bytes]) -> list[FeedEvent]:
    major, _, minor = entry_id.decode().partition("-")
    about = {"type": fields[b"t"].decode(), "queue": fields[b"q"].decode()}
    ids = fields.get(b"i", b"").decode().split()  # of the tasks' events, in their streams
    events = []
    for place, body in enumerate(loads(fields[b"e"])):
        feed_id = (int(major), int(minor), place)
        kind = body["kind"]
        own = {"id": ids[place]} if ids else {}
        data = body if kind in SERVICE_EVENTS else own | body | about
        frame = sse_frame(format_feed_id(feed_id), kind, dumps(data))
        events.append(FeedEvent(feed_id, kind, about["type"], about["queue"], frame, chunk(frame)))
    return events
