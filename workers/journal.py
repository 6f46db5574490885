"""What one attempt writes: it numbers the events, buffers them, and survives an absent Redis.

Only the holder of a task numbers its events, so this is the one place that does. Events leave in
the order in which they were added; what is added while a write is under way goes with the next one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog
from stepline.contract import EventKind
from stepline.errors import Reject

from infra.codec import Encoded, dumps, now, timestamp
from infra.envelope import TaskMessage
from infra.state.models import EventId, NewEvent, Settlement, Yours
from infra.state.redis import StateUnavailable
from infra.state.scripts import Argument
from infra.state.store import State, WriteAnswer, checkpoint_field, queued_event, saved_field

FLUSH_AFTER = 0.005
"""Seconds that an event may wait for company."""

PROGRESS_EVERY = 0.1
PROGRESS_KEPT = 500
"""Progress events kept in the stream of one attempt; older ones are dropped first."""

LOG_LINES = 1_000

OUTPUT_BYTES = 8_000_000
"""Of streamed output in one attempt: history keeps an attempt's events as one document, and a
database takes no larger ones than its packets (16 MB in MariaDB, unless set otherwise)."""

log = structlog.get_logger(__name__)


class LostLease(Exception):
    """Another worker has the task now, or it has ended: this attempt must write no more."""


class Journal:
    """The events, fields and checkpoints of one attempt."""

    def __init__(
        self,
        state: State,
        queue: str,
        task: TaskMessage,
        claim: Yours,
        worker: str,
        *,
        current: Callable[[], Awaitable[bool]],
    ) -> None:
        """`current` asks history whether this attempt is still the task's latest: an attempt may
        put back what Redis has lost only if nobody came after it."""
        self._state = state
        self._current = current
        self._queue = queue
        self._task = task
        self._claim = claim
        self.worker = worker
        self.began_at = now()
        self._seq = 1
        self._written_seq = 1
        self._events: list[NewEvent] = []
        self._fields: dict[str, Argument] = {}
        self._steps: dict[str, bytes] = {}
        self._known_steps: dict[str, bytes] = {
            **{checkpoint_field(*step): stored for step, stored in claim.outputs.items()},
            **{saved_field(index): stored for index, stored in claim.saved.items()},
        }
        self._drop: list[EventId] = []
        self._progress: Mapping[str, Any] | None = None
        self._progress_at = 0.0
        self._progress_ids: deque[EventId] = deque()
        self._log_lines = 0
        self._output_bytes = 0
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._held_back = False
        self.lost = False
        self.on_lost: Callable[[], None] = _nobody
        """Called once, when the task is found to be another's."""
        started = {
            "task_id": task.id,
            "kind": EventKind.STARTED,
            "attempt": claim.attempt,
            "at": timestamp(self.began_at),
            "worker": worker,
        }
        self._kept = [NewEvent((claim.attempt, 1), EventKind.STARTED, dumps(started))]
        """The attempt's events without its progress."""

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def history(self) -> list[Encoded]:
        """The attempt's events as history keeps them."""
        return [
            Encoded(b'{"id":"%d-%d",' % event.id + event.json[1:])  # of an object, with its id
            for event in self._kept
        ]

    def add(self, kind: EventKind, **data: Any) -> None:
        """Number an event and let it leave within `FLUSH_AFTER` seconds."""
        self._take_progress()
        self._append(kind, data)
        self._schedule(FLUSH_AFTER)

    def hold_back(self) -> None:
        """Let events wait for company until `let_out`, or until somebody flushes."""
        self._held_back = True

    def let_out(self) -> None:
        """Let what waits leave, and later events within `FLUSH_AFTER` seconds again."""
        self._held_back = False
        if self._events:
            self._schedule(0.0)

    def checkpoint(self, index: int, handler: str, stored: bytes) -> None:
        """Keep a step's output; it is written together with the events added so far."""
        self._steps[checkpoint_field(index, handler)] = stored

    def field(self, name: str, value: Argument) -> None:
        """Of a running task: what its end erases."""
        self._fields[name] = value

    def progress(self, **data: Any) -> None:
        """The latest progress; ten times a second it becomes an event."""
        self._progress = data
        self._schedule(max(0.0, self._progress_at + PROGRESS_EVERY - time.monotonic()))

    def log_line(self, **data: Any) -> None:
        """A `log` event, bounded: the last one says that there would be more."""
        self._log_lines += 1
        if self._log_lines < LOG_LINES:
            self.add(EventKind.LOG, **data)
        elif self._log_lines == LOG_LINES:
            self.add(EventKind.LOG, **(data | {"message": "further log lines are left out"}))

    def output(self, **data: Any) -> None:
        """A `step.output` event. Raises `Reject` when the attempt has streamed too much."""
        self.add(EventKind.STEP_OUTPUT, **data)
        self._output_bytes += len(self._kept[-1].json)
        if self._output_bytes > OUTPUT_BYTES:
            raise Reject(
                f"streamed more than {OUTPUT_BYTES} bytes of output: write a file with "
                "ctx.exports, and stream where it is",
                code="output_too_large",
            )

    async def save(self, index: int, stored: bytes) -> None:
        """Keep a step's own state; returns when Redis has it."""
        self._steps[saved_field(index)] = stored
        await self.flush()

    async def flush(self) -> None:
        """Write all that waits. Waits for Redis as long as it takes. Raises `LostLease`.

        The write is a task of its own: a handler that is cancelled meanwhile loses no event.
        """
        if self._closed:  # a thread that goes on after its task was stopped
            raise LostLease(self._task.id)
        await asyncio.shield(self._spawn(self._flush()))

    async def _flush(self) -> None:
        async with self._lock:
            self._take_progress()
            events, self._events = self._events, []
            fields, self._fields = self._fields, {}
            steps, self._steps = self._steps, {}
            drop, self._drop = self._drop, []
            self._cancel_timer()  # nothing is left for it
            if not (events or fields or steps):
                return
            fields["updated_at"] = timestamp(now())
            self._known_steps.update(steps)
            await self._insist(
                events,
                lambda: self._state.write(
                    self._task.id,
                    self._claim.token,
                    events=events,
                    fields=fields,
                    steps=steps,
                    drop=drop,
                ),
            )

    async def settle(self, kind: EventKind, fields: dict[str, Argument], **data: Any) -> None:
        """Write the attempt's last event, with all that waits, and let go. Raises `LostLease`."""
        self._cancel_timer()
        async with self._lock:
            await self._settle(self.settlement(kind, fields, **data))

    @property
    def idle(self) -> bool:
        """Nothing is being written: a settlement may be."""
        return not self._lock.locked()

    def settlement(self, kind: EventKind, fields: dict[str, Argument], **data: Any) -> Settlement:
        """What `settle` would write: for a caller who writes it together with others', and comes
        back with the answer (`settled`). Only while this is `idle`."""
        self._cancel_timer()
        self._take_progress()
        at = timestamp(now())
        self._append(kind, data, at)
        events, self._events = self._events, []
        steps, self._steps = self._steps, {}
        return Settlement(
            self._task.id,
            self._claim.token,
            events,
            fields | {"updated_at": at},  # where it was no longer matters
            steps,
        )

    async def settled(self, settlement: Settlement, answer: WriteAnswer | None) -> None:
        """It was written, with this answer; None means that nobody knows. Raises `LostLease`."""
        if answer == "ok":
            self._written_seq = self._seq
            return
        async with self._lock:
            await self._settle(settlement)  # once more: it bears that

    async def _settle(self, settlement: Settlement) -> None:
        await self._insist(
            settlement.events,
            lambda: self._state.settle(
                settlement.task_id,
                settlement.token,
                events=settlement.events,
                fields=settlement.fields,
                steps=settlement.steps,
            ),
        )

    async def close(self) -> None:
        """Stop the timers and drop writes under way; nothing more is written."""
        self._closed = True
        # whoever is called holds this journal: all of the attempt would be left to the collector
        self.on_lost = _nobody
        self._cancel_timer()
        if not self._writing:
            return
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    def _append(self, kind: EventKind, data: Mapping[str, Any], at: str | None = None) -> None:
        event_id = (self._claim.attempt, self._seq + 1)
        body = {
            "task_id": self._task.id,
            "kind": kind,
            "attempt": self._claim.attempt,
            "at": at or timestamp(now()),
            **{name: value for name, value in data.items() if value is not None},
        }
        event = NewEvent(event_id, kind, dumps(body))
        self._events.append(event)
        self._seq += 1
        if kind is EventKind.STEP_PROGRESS:
            self._progress_ids.append(event_id)
            if len(self._progress_ids) > PROGRESS_KEPT:
                self._drop.append(self._progress_ids.popleft())
        else:
            self._kept.append(event)

    def _take_progress(self) -> None:
        if self._progress is None:
            return
        data, self._progress = self._progress, None
        self._progress_at = time.monotonic()
        self._append(EventKind.STEP_PROGRESS, data)
        self._fields["progress"] = dumps(
            {name: data.get(name) for name in ("current", "total", "percent", "message")}
        )

    def _schedule(self, after: float) -> None:
        if self._timer is None and not (self.lost or self._closed or self._held_back):
            self._timer = asyncio.get_running_loop().call_later(after, self._start_flush)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_flush(self) -> None:
        self._timer = None
        self._spawn(self._flush())

    def _spawn(self, write: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(write, name=f"journal {self._task.id}")
        self._writing.add(task)
        task.add_done_callback(self._written)
        return task

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, LostLease):  # `lost` is set: the chain sees it at its next step
            log.error("journal_write_failed", task_id=self._task.id, error=repr(error))

    async def _insist(
        self, events: Sequence[NewEvent], write: Callable[[], Awaitable[WriteAnswer]]
    ) -> None:
        pause = 0.1
        while True:
            if self.lost:
                raise LostLease(self._task.id)
            try:
                answer = await write()
                if answer != "ok" and await self._restored():
                    continue
            except StateUnavailable as error:
                log.warning("state_away", task_id=self._task.id, error=str(error))
                await asyncio.sleep(pause * (0.5 + random.random()))
                pause = min(pause * 2, 2.0)
                continue
            if answer != "ok":
                self.lost = True
                self.on_lost()
                raise LostLease(self._task.id)
            if events:
                self._written_seq = events[-1].id[1]
            return

    async def _restored(self) -> bool:
        """After a flush the task is gone, or a superseded attempt has put it back: is it ours?"""
        if not await self._current():
            return False
        queued = NewEvent((0, 1), EventKind.QUEUED, dumps(queued_event(self._task)))
        written = (self._claim.attempt, self._written_seq)
        # what is being written now Redis has not had: that write comes again
        events = [event for event in (queued, *self._kept) if event.id <= written]
        answer = await self._state.restore(
            self._queue,
            self._task,
            self._claim,
            self.worker,
            steps=self._known_steps,
            events=events,
        )
        if answer == "ok":
            log.warning("state_restored", task_id=self._task.id)
        return answer == "ok"


def _nobody() -> None:
    """Nobody is to be told."""
