"""One task's events as a stream: replay, then live, without a gap between the two.

Subscribe first and read the kept events after: what happens meanwhile arrives both ways, and is
recognised by its id. Each live event names its predecessor; if that is not the last one sent,
something was missed, and the kept events are read again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

from api.views import event_of, find, history_events, status_view, stored_events
from infra.codec import dumps
from infra.history.base import TaskRecord
from infra.resources import Resources
from infra.state.hub import Watcher
from infra.state.models import FIRST, EventId, StoredEvent, TaskState, format_event_id

HEARTBEAT = 15.0
PING = b": ping\n\n"

HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def last_event_id(task: TaskState | TaskRecord) -> EventId:
    """The id of the newest event that is known."""
    return task.last if isinstance(task, TaskState) else (task.attempt, task.seq)


async def event_stream(
    resources: Resources, task_id: str, after: EventId, *, reset: bool = False
) -> AsyncIterator[bytes]:
    """The bytes of the stream, from the event after `after` to the terminal one."""
    yield f"retry: {1000 + random.randrange(1000)}\n\n".encode()
    async with resources.hub.watch(task_id) as watcher:
        if reset:
            frame, after, ended = await _snapshot(resources, task_id)
            yield frame
            if ended:
                return
        while True:
            for event in await _kept(resources, task_id, after):
                yield event.frame()
                after = event.id
                if event.terminal:
                    return
            async for frame, event_id, terminal in _live(watcher, after):
                yield frame
                after = event_id
                if terminal:
                    return
            if watcher.closed:
                return


async def _live(watcher: Watcher, after: EventId) -> AsyncIterator[tuple[bytes, EventId, bool]]:
    """Live events in sequence, until one is missing (or the hub says that one may be)."""
    while True:
        try:
            live = await asyncio.wait_for(watcher.next(), HEARTBEAT)
        except TimeoutError:
            yield PING, after, False
            continue
        if live is None:
            return
        if live.event.id <= after:
            continue
        if live.previous != after:
            return
        after = live.event.id
        yield live.frame, after, live.event.terminal


async def _kept(resources: Resources, task_id: str, after: EventId) -> list[StoredEvent]:
    """The events after `after` that Redis keeps, or else those that history has."""
    events = await resources.state.events(task_id, after)
    if events or await resources.state.get(task_id) is not None:
        return events
    record = await resources.history.get(task_id)
    if record is None:
        return []
    attempts = await resources.history.attempts(task_id)
    entries = [event_of(entry, dumps) for entry in history_events(record, attempts)]
    return [event for event in entries if event.id > after]


async def _snapshot(resources: Resources, task_id: str) -> tuple[bytes, EventId, bool]:
    """An id that leads nowhere: the whole state instead, and on from there."""
    task = await find(resources, task_id)
    if task is None:
        return b"", FIRST, True
    view = status_view(task, await stored_events(resources, task))
    last = last_event_id(task)
    data = dumps(view.model_dump(mode="json"))
    head = f"id: {format_event_id(last)}\nevent: reset\ndata: ".encode()
    return head + data + b"\n\n", last, view.status.ended
