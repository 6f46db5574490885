"""The feed of all tasks: one bounded stream in Redis, read once a process for all its viewers.

An entry of the stream holds the events of one write; an event's id is its entry's and its place in
it, `ms-n:place`. Each event is encoded once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog
from stepline.contract import EventKind, Status

from infra.codec import dumps, loads
from infra.state.redis import REDIS_ERRORS, Connections, translated
from infra.state.store import PREFIX

FEED = f"{PREFIX}feed"
BACKLOG = 1_000
"""Events that a viewer may lag behind before it is told to read the stream again."""

PAGE = 500
BLOCK_MS = 5_000

STATUS_AFTER = {
    EventKind.QUEUED: Status.PENDING,
    EventKind.RETRY_SCHEDULED: Status.RETRYING,
    EventKind.SUCCEEDED: Status.SUCCESS,
    EventKind.FAILED: Status.FAILURE,
    EventKind.CANCELLED: Status.CANCELLED,
}
"""What a task is after an event of this kind; after any other it is RUNNING."""

FeedId: TypeAlias = tuple[int, int, int]
"""(milliseconds, number, place)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """An event in the feed, and its bytes on the wire."""

    id: FeedId
    kind: EventKind
    type: str
    queue: str
    frame: bytes

    @property
    def status(self) -> Status:
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


class FeedWatcher:
    """One viewer. `next()` gives the next event, or None: read the stream again."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[FeedEvent | None] = asyncio.Queue(BACKLOG)
        self._missed = False
        self.closed = False

    async def next(self) -> FeedEvent | None:
        if self._missed and self._queue.empty():
            self._missed = False
            return None
        return await self._queue.get()

    def put(self, item: FeedEvent | None) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._missed = True

    def end(self) -> None:
        """The process is stopping: nothing more will come."""
        self.closed = True
        self.put(None)


class Feed:
    """Reads the stream while somebody watches."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.client(max_connections=4)
        self._live = connections.stream_client()
        self._watchers: set[FeedWatcher] = set()
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        await self._stop()
        await self._client.aclose()
        await self._live.aclose()

    def end_all(self) -> None:
        """Send every viewer away: they come back elsewhere."""
        for watcher in self._watchers:
            watcher.end()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[FeedWatcher]:
        """Everything that happens after this is entered reaches the watcher."""
        watcher = FeedWatcher()
        async with self._starting:
            if self._reader is None:
                start = await self.last()
                self._reader = asyncio.create_task(self._read(start), name="feed")
            self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                await self._stop()

    async def last(self) -> FeedId:
        """The id of the newest event; (0, 0, 0) of an empty feed."""
        with translated():
            newest = await self._client.xrevrange(FEED, count=1)
        return _events(*newest[0])[-1].id if newest else (0, 0, 0)

    async def first(self) -> FeedId | None:
        """The id of the oldest event that is kept; None of an empty feed."""
        with translated():
            oldest = await self._client.xrange(FEED, count=1)
        return _events(*oldest[0])[0].id if oldest else None

    async def after(self, feed_id: FeedId, limit: int = PAGE) -> list[FeedEvent]:
        """The kept events after that id, in order: those of at most `limit` entries."""
        start = f"{feed_id[0]}-{feed_id[1]}"
        with translated():
            entries = await self._client.xrange(FEED, min=start, count=limit)
        events = [event for entry in entries for event in _events(*entry)]
        return [event for event in events if event.id > feed_id]

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
            except REDIS_ERRORS as error:
                log.warning("feed_disconnected", error=str(error))
                await asyncio.sleep(0.1 + random.random() * 0.4)
                for watcher in self._watchers:
                    watcher.put(None)  # what came meanwhile, each reads for itself
                continue
            for _, entries in answer or ():
                for entry_id, fields in entries:
                    position = entry_id.decode()
                    for event in _events(entry_id, fields):
                        for watcher in self._watchers:
                            watcher.put(event)


def _events(entry_id: bytes, fields: dict[bytes, bytes]) -> list[FeedEvent]:
    major, _, minor = entry_id.decode().partition("-")
    about = {"type": fields[b"t"].decode(), "queue": fields[b"q"].decode()}
    events = []
    for place, body in enumerate(loads(fields[b"e"])):
        feed_id = (int(major), int(minor), place)
        head = f"id: {format_feed_id(feed_id)}\nevent: {body['kind']}\ndata: ".encode()
        frame = head + dumps(body | about) + b"\n\n"
        events.append(
            FeedEvent(feed_id, EventKind(body["kind"]), about["type"], about["queue"], frame)
        )
    return events
