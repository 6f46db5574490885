"""One task's events as a stream: each live event names its predecessor; if that is not the last
one sent, something was missed, and the kept events are read again."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from api.viewer import Viewer
from api.views import event_of, find, history_events, status_view, stored_events
from infra.codec import dumps
from infra.history.base import TaskRecord
from infra.resources import Resources
from infra.sse import frame
from infra.state.hub import LiveEvent
from infra.state.models import FIRST, EventId, StoredEvent, TaskState, format_event_id

NOWHERE: EventId = (sys.maxsize, 0)
"""The position of a reader whose `Last-Event-ID` is no id."""


def last_event_id(task: TaskState | TaskRecord) -> EventId:
    """The id of the newest event that is known."""
    return task.last if isinstance(task, TaskState) else (task.attempt, task.seq)


class TaskViewer(Viewer):
    """A reader of one task's events, from the one after `after` to the terminal one."""

    def __init__(self, resources: Resources, task_id: str, after: EventId = FIRST) -> None:
        super().__init__()
        self._resources = resources
        self._task_id = task_id
        self.position: EventId = after
        self._agreed: EventId = FIRST
        """A position that the reader was sent a snapshot for: it need not be among the kept."""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with self._resources.hub.listen(self._task_id, self):
            yield

    def hear(self, event: LiveEvent) -> None:
        if event.id <= self.position:
            return
        if not self.live:
            self.heard = event.id
        elif event.previous != self.position or self.wire.full:
            self.missed()
        else:
            self.position = event.id
            self.wire.write(event.chunk)
            if event.terminal:
                self.end()

    async def read(self) -> Sequence[bytes]:
        known, events = await self._kept()
        if not known:
            return await self._snapshot()
        if events:
            self.position = events[-1].id
            if events[-1].terminal:
                self.end()
        return [event.frame() for event in events]

    async def _kept(self) -> tuple[bool, list[StoredEvent]]:
        """Whether the position is one to go on from, and the next events after it: those that Redis
        keeps, or else those that history has."""
        state, history = self._resources.state, self._resources.history
        events = await state.events_from(self._task_id, self.position, self.page)
        if not events and await state.get(self._task_id) is None:
            record = await history.get(self._task_id)
            if record is None:
                self.end()  # deleted meanwhile
                return True, []
            attempts = await history.attempts(self._task_id)
            entries = [event_of(entry, dumps) for entry in history_events(record, attempts)]
            events = [event for event in entries if event.id >= self.position]
        if events and events[0].id == self.position:
            return True, events[1:]
        return self.position in (FIRST, self._agreed), events

    async def _snapshot(self) -> Sequence[bytes]:
        """The position is not to be had: the whole state instead. Old progress is all that is ever
        dropped, so a reader whose position was is sent the rest after it; one that is ahead of
        all there is goes on from the last."""
        task = await find(self._resources, self._task_id)
        if task is None:
            self.end()
            return []
        view = status_view(task, await stored_events(self._resources, task))
        if self.position > last_event_id(task):
            self.position = last_event_id(task)
            if view.status.ended:
                self.end()
        self._agreed = self.position
        body = dumps(view.model_dump(mode="json"))
        return [frame(format_event_id(self.position), "reset", body)]
