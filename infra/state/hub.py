"""Live events for any number of viewers over one Redis connection.

Each message names its predecessor, so a viewer that missed one sees it and reads the stream again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from infra.sse import chunk
from infra.state.models import EventId, StoredEvent, parse_event_id
from infra.state.redis import REDIS_ERRORS, Connections, StateUnavailable
from infra.state.store import channel

BACKLOG = 256
"""Events a watcher may lag behind before it is told to look for itself."""

CONFIRM_TIMEOUT = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event as it happens, its predecessor's id, and its bytes on the wire: one copy for all."""

    previous: EventId
    id: EventId
    terminal: bool
    chunk: bytes


class Listener(Protocol):
    """Hears what happens to one task."""

    def hear(self, event: LiveEvent) -> None: ...

    def missed(self) -> None:
        """Something may have happened that was not heard: read the stream again."""

    def end(self) -> None:
        """The process is stopping: nothing more will come."""


class Watcher:
    """A listener to wait with: `next()` gives the next event, or None: look for yourself."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[LiveEvent | None] = asyncio.Queue(BACKLOG)
        self._missed = False
        self.closed = False

    async def next(self) -> LiveEvent | None:
        if self._missed and self._queue.empty():
            self._missed = False
            return None
        return await self._queue.get()

    def hear(self, event: LiveEvent) -> None:
        self._put(event)

    def missed(self) -> None:
        self._put(None)

    def end(self) -> None:
        self.closed = True
        self._put(None)

    def _put(self, item: LiveEvent | None) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._missed = True


class EventHub:
    """Subscribes to a task's channel while somebody watches it."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.stream_client()
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._confirmed: dict[str, asyncio.Future[None]] = {}
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()

    def end_all(self) -> None:
        """Send every viewer away (the process is stopping): they come back elsewhere."""
        for listener in [one for several in self._listeners.values() for one in several]:
            listener.end()

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        if self._pubsub is not None:
            await self._pubsub.aclose()
        await self._client.aclose()

    @asynccontextmanager
    async def watch(self, task_id: str) -> AsyncIterator[Watcher]:
        """Everything that happens to the task after this is entered reaches the watcher."""
        watcher = Watcher()
        async with self.listen(task_id, watcher):
            yield watcher

    @asynccontextmanager
    async def listen(self, task_id: str, listener: Listener) -> AsyncIterator[None]:
        """Everything that happens to the task after this is entered reaches the listener. Raises
        `StateUnavailable`."""
        name = channel(task_id)
        self._listeners[name].add(listener)
        try:
            await self._subscribe(name)
            yield
        finally:
            self._listeners[name].discard(listener)
            if not self._listeners[name]:
                del self._listeners[name]
                await self._unsubscribe(name)

    async def _subscribe(self, name: str) -> None:
        confirmed = self._confirmed.get(name)
        if confirmed is None:
            confirmed = self._confirmed[name] = asyncio.get_running_loop().create_future()
            try:
                async with self._sending:
                    if self._pubsub is None:
                        self._pubsub = self._client.pubsub()
                    await self._pubsub.subscribe(name)
            except BaseException as error:  # a viewer that goes away here: others wait for the same
                self._confirmed.pop(name, None)
                failure = StateUnavailable(f"Redis: {type(error).__name__}: {error}")
                confirmed.set_exception(failure)
                confirmed.exception()
                if not isinstance(error, REDIS_ERRORS):
                    raise
                raise failure from error
            if self._reader is None:
                self._reader = asyncio.create_task(self._read(), name="event-hub")
        try:
            await asyncio.wait_for(asyncio.shield(confirmed), CONFIRM_TIMEOUT)
        except TimeoutError as error:
            raise StateUnavailable("Redis did not confirm a subscription in time") from error

    async def _unsubscribe(self, name: str) -> None:
        """A failure is no matter: the reader finds the connection gone and makes a new one."""
        async with self._sending:
            if name not in self._listeners and self._confirmed.pop(name, None) is not None:
                with contextlib.suppress(*REDIS_ERRORS):
                    await self._pubsub.unsubscribe(name)

    async def _read(self) -> None:
        while True:
            try:
                message = await self._pubsub.parse_response(block=True)
                await self._dispatch(message)
            except asyncio.CancelledError:
                raise
            except REDIS_ERRORS as error:
                log.warning("event_hub_disconnected", error=str(error))
                await self._reconnect()
            except Exception:  # one message that cannot be read does not silence all others
                log.exception("event_hub_failed")
                await self._reconnect()

    async def _dispatch(self, message: list[Any]) -> None:
        kind, name = message[0], message[1].decode() if message[1] else ""
        if kind == b"message":
            events = [_read_live(line) for line in message[2].split(b"\n")]
            for listener in tuple(self._listeners.get(name, ())):
                for event in events:
                    listener.hear(event)
        elif kind == b"subscribe":
            self._subscribed(name)
        elif kind == b"unsubscribe":
            await self._pubsub.handle_message(message)  # or the client keeps the name for ever

    def _subscribed(self, name: str) -> None:
        confirmed = self._confirmed.get(name)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)
            return
        # subscribed anew: from here on nothing is missed, but before it something may have been
        for listener in tuple(self._listeners.get(name, ())):
            listener.missed()

    async def _reconnect(self) -> None:
        """Subscribe anew to all that is watched; each confirmation has its viewers read again."""
        while True:
            await asyncio.sleep(0.1 + random.random() * 0.4)
            old, self._pubsub = self._pubsub, self._client.pubsub()
            with contextlib.suppress(*REDIS_ERRORS):
                await old.aclose()
            try:
                async with self._sending:
                    if names := list(self._listeners):
                        await self._pubsub.subscribe(*names)
                    else:
                        await self._pubsub.connect()
            except REDIS_ERRORS:
                continue
            return


def _read_live(line: bytes) -> LiveEvent:
    previous, event_id, kind, json = line.split(b" ", 3)
    event = StoredEvent(parse_event_id(event_id.decode()), kind.decode(), json)
    return LiveEvent(
        parse_event_id(previous.decode()), event.id, event.terminal, chunk(event.frame())
    )
