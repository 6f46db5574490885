"""The feed of all tasks as a stream: replay what is kept, go on live, without a gap between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from stepline.contract import Status, TaskPage

from api.streaming import HEARTBEAT, PING
from api.views import summary
from infra.codec import dumps
from infra.history.base import TaskFilter
from infra.resources import Resources
from infra.state.feed import FeedEvent, FeedId, FeedWatcher, format_feed_id

SNAPSHOT = 100
"""Tasks in the snapshot that a reader gets who was away for too long."""


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Which events: None means any."""

    type: str | None = None
    queue: str | None = None
    status: Status | None = None

    def fits(self, event: FeedEvent) -> bool:
        return (
            (self.type is None or event.type == self.type)
            and (self.queue is None or event.queue == self.queue)
            and (self.status is None or event.status is self.status)
        )


async def feed_stream(
    resources: Resources, where: FeedFilter, after: FeedId | None, *, reset: bool
) -> AsyncIterator[bytes]:
    """The bytes of the stream, from the event after `after` (None: from now on)."""
    yield f"retry: {1000 + random.randrange(1000)}\n\n".encode()
    async with resources.feed.watch() as watcher:
        position = after
        if position is None or reset:
            position = await resources.feed.last()
        if reset:
            yield await _snapshot(resources, where, position)
        while not watcher.closed:
            while events := await resources.feed.after(position):
                for event in events:
                    position = event.id
                    if where.fits(event):
                        yield event.frame
            async for frame, reached in _live(watcher, where, position):
                position = reached
                if frame:
                    yield frame


async def _live(
    watcher: FeedWatcher, where: FeedFilter, position: FeedId
) -> AsyncIterator[tuple[bytes, FeedId]]:
    """Live events after `position`, until some may have been missed. A filter may let nothing
    through for long: a ping says that the stream lives."""
    while True:
        try:
            event = await asyncio.wait_for(watcher.next(), HEARTBEAT)
        except TimeoutError:
            yield PING, position
            continue
        if event is None:
            return
        if event.id <= position:
            continue
        position = event.id
        yield (event.frame if where.fits(event) else b""), position


async def _snapshot(resources: Resources, where: FeedFilter, position: FeedId) -> bytes:
    """The newest tasks, in the place of the events that are not kept any more."""
    found = TaskFilter(status=where.status, type=where.type, queue=where.queue)
    page = await resources.history.list_tasks(found, limit=SNAPSHOT)
    view = TaskPage(
        tasks=[summary(task, None) for task in page.tasks],
        next=None,
        total=page.total,
        total_capped=page.total_capped,
        limit=SNAPSHOT,
    )
    head = f"id: {format_feed_id(position)}\nevent: reset\ndata: ".encode()
    return head + dumps(view.model_dump(mode="json")) + b"\n\n"
