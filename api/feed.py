"""The feed of all tasks as a stream, filtered."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stepline.contract import Status, TaskPage

from api.viewer import Viewer
from api.views import summary
from infra.codec import dumps
from infra.history.base import TaskFilter
from infra.resources import Resources
from infra.sse import frame
from infra.state.feed import BEGINNING, FeedEvent, FeedId, format_feed_id

NOWHERE: FeedId = (sys.maxsize, 0, 0)
"""The position of a reader whose `Last-Event-ID` is no id."""

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


class FeedViewer(Viewer):
    """A reader of what happens to all tasks, after `after` (None: from now on)."""

    def __init__(self, resources: Resources, where: FeedFilter, after: FeedId | None) -> None:
        super().__init__()
        self._resources = resources
        self._where = where
        self._from_now = after is None
        self.position: FeedId = after or BEGINNING
        self._agreed: FeedId = BEGINNING
        """A position that need not be among the kept: all follows, or a snapshot was sent."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with self._resources.feed.listen(self):
            if self._from_now:
                self.position = self._agreed = await self._resources.feed.last()
            yield

    def hear(self, event: FeedEvent) -> None:
        if event.id <= self.position:
            return
        if not self.live:
            self.heard = event.id
        elif self.wire.full:
            self.missed()
        else:
            self.position = event.id
            if self._where.fits(event):
                self.wire.write(event.chunk)

    async def read(self) -> Sequence[bytes]:
        if self._from_now:  # for a reader that is cut before its first event
            self._from_now = False
            return [f"id: {format_feed_id(self.position)}\n\n".encode()]
        while True:
            # entries, of which the first is that of the position
            events = await self._resources.feed.after(self.position, self.page + 1)
            known = bool(events) and events[0].id == self.position
            if not known and self.position != self._agreed:
                return await self._snapshot()
            news = events[1:] if known else events
            if not news:
                return []
            self.position = news[-1].id
            fitting = [event.frame for event in news if self._where.fits(event)]
            if fitting:
                return fitting

    async def _snapshot(self) -> Sequence[bytes]:
        """The newest tasks, in the place of the events that are not kept any more."""
        self.position = self._agreed = await self._resources.feed.last()
        where = self._where
        found = TaskFilter(status=where.status, type=where.type, queue=where.queue)
        page = await self._resources.history.list_tasks(found, limit=SNAPSHOT)
        view = TaskPage(
            tasks=[summary(task, None) for task in page.tasks],
            next=None,
            total=page.total,
            total_capped=page.total_capped,
            limit=SNAPSHOT,
        )
        data = dumps(view.model_dump(mode="json"))
        return [frame(format_feed_id(self.position), "reset", data)]
