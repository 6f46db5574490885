"""What happens now: one subscription to the feed and one poll a question, however many look."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import structlog
from stepline.contract import EventKind, Status
from stepline.errors import SteplineError

from dashboard.source import Doc, Source

TICK = 0.12
"""Seconds that events are gathered before viewers are told: one message instead of many."""

SAMPLES = 60
REMEMBERED = 5_000
PAUSE = 0.5
"""Seconds until a lost feed is asked for again; the SDK has tried for some time before."""

LINGER = 5.0
"""Seconds that a subscription outlives its last viewer: a reload finds it warm."""

STATUS_AFTER = {
    EventKind.QUEUED: Status.PENDING,
    EventKind.RETRY_SCHEDULED: Status.RETRYING,
    EventKind.SUCCEEDED: Status.SUCCESS,
    EventKind.FAILED: Status.FAILURE,
    EventKind.CANCELLED: Status.CANCELLED,
}

OnEvents: TypeAlias = Callable[[Sequence[Doc]], None]
OnValue: TypeAlias = Callable[[Any], None]
Stop: TypeAlias = Callable[[], None]

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Poll:
    """One question asked again and again while somebody wants the answer."""

    def __init__(self, ask: Callable[[], Awaitable[Any]], every: float) -> None:
        self._ask = ask
        self._every = every
        self._watchers: dict[OnValue, Callable[[SteplineError], None] | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()
        self._asked = 0.0
        self.value: Any = None

    def watch(
        self, on_value: OnValue, on_error: Callable[[SteplineError], None] | None = None
    ) -> Stop:
        """Told of each answer until `Stop` is called. One that is fresh is told at once."""
        self._watchers[on_value] = on_error
        if self.value is not None and time.monotonic() - self._asked < 2 * self._every:
            on_value(self.value)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

        def stop() -> None:
            self._watchers.pop(on_value, None)
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task = None

        return stop

    def nudge(self) -> None:
        """Ask again now: something has happened."""
        self._soon.set()

    async def _run(self) -> None:
        while True:
            self._soon.clear()
            self._asked = time.monotonic()
            try:
                self.value = await self._ask()
            except SteplineError as error:
                for on_error in list(self._watchers.values()):
                    if on_error is not None:
                        on_error(error)
            else:
                for on_value in list(self._watchers):
                    on_value(self.value)
            await asyncio.sleep(min(0.25, self._every))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._soon.wait(), self._every)


class Live:
    """One key's view of the deployment, kept up to date for all who look with it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.connected = True
        self.progress: OrderedDict[str, Doc] = OrderedDict()
        """The latest percent, step and worker of the tasks that were heard of last."""
        self.depths: dict[str, deque[int]] = {}
        """How many waited in each queue, once for each time that the queues were asked for."""
        self._viewers: set[OnEvents] = set()
        self._polls: dict[str, Poll] = {}
        self._answers: dict[str, tuple[float, asyncio.Future[Any]]] = {}
        self._gathered: list[Doc] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._last_left = 0.0

    @property
    def following(self) -> bool:
        """Is the feed being read?"""
        return bool(self._tasks)

    def poll(self, name: str, ask: Callable[[], Awaitable[Any]], every: float) -> Poll:
        """The poll of that name, shared by all who ask for it."""
        if name not in self._polls:
            self._polls[name] = Poll(ask, every)
        return self._polls[name]

    def queues(self) -> Poll:
        """The queues, each second."""
        return self.poll("queues", self._ask_queues, 1.0)

    async def _ask_queues(self) -> list[Doc]:
        queues = await self.source.queues()
        for queue in queues:
            depths = self.depths.setdefault(queue["name"], deque(maxlen=SAMPLES))
            depths.append(queue["waiting"])
        return queues

    async def once(self, name: str, ask: Callable[[], Awaitable[T]], good_for: float = 0.4) -> T:
        """The answer to that question, asked once for all who want it within `good_for` seconds."""
        known = self._answers.get(name)
        if known is None or known[0] < time.monotonic():
            self._answers = {
                key: item for key, item in self._answers.items() if item[0] > time.monotonic()
            }
            asking = asyncio.ensure_future(ask())
            known = self._answers[name] = (time.monotonic() + good_for, asking)
        answer: T = await asyncio.shield(known[1])
        return answer

    def subscribe(self, on_events: OnEvents) -> Stop:
        """`on_events` gets every event, some at a time, until `Stop` is called."""
        self._viewers.add(on_events)
        if not self._tasks:
            self.connected = True  # until it turns out otherwise
            self._tasks = [
                asyncio.create_task(self._read(), name="feed"),
                asyncio.create_task(self._tell(), name="fan-out"),
            ]

        def stop() -> None:
            self._viewers.discard(on_events)
            self._last_left = time.monotonic()

        return stop

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        """Follow the feed for good; a connection that has stood for a second is taken for one."""
        last: str | None = None
        while True:
            stands = asyncio.get_running_loop().call_later(1.0, self._set_connected, True)
            try:
                async for event in self.source.feed(last):
                    last = event["id"] or last
                    self._set_connected(True)
                    self._remember(event)
                    self._gathered.append(event)
            except SteplineError as error:
                log.warning("feed_failed", code=error.code, error=str(error))
            finally:
                stands.cancel()
            self._set_connected(False)
            await asyncio.sleep(PAUSE)

    def _set_connected(self, connected: bool) -> None:
        if connected is not self.connected:
            self.connected = connected
            self._gathered.append({"kind": "connection"})

    def _remember(self, event: Doc) -> None:
        task_id = event.get("task_id")
        if task_id is None:
            return
        known = self.progress.setdefault(task_id, {})
        self.progress.move_to_end(task_id)
        match event["kind"]:
            case "started":
                known |= {"worker": event.get("worker"), "percent": None, "step": None}
            case "step.started":
                known |= {"step": event.get("handler"), "steps": event.get("total")}
                known["percent"] = _whole(known, event, 0.0)
            case "step.progress":
                known["percent"] = _whole(known, event, event.get("percent"))
            case "step.completed":
                known["percent"] = _whole(known, event, 100.0)
        while len(self.progress) > REMEMBERED:
            self.progress.popitem(last=False)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            events, self._gathered = self._gathered, []
            if not self._viewers and time.monotonic() - self._last_left > LINGER:
                # nobody looks any more: the feed is let go until somebody does
                reading, self._tasks = self._tasks[0], []
                reading.cancel()
                return
            if events:
                for on_events in list(self._viewers):
                    on_events(events)


def _whole(known: Doc, event: Doc, percent: float | None) -> float | None:
    """A step's percent as that of the whole chain."""
    index, steps = event.get("index"), known.get("steps")
    if percent is None or index is None or not steps:
        return percent
    return float((100.0 * index + percent) / steps)
