"""A task's live state: every transition is one script, fenced by the token of its claim."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any, Literal

import redis.asyncio as async_redis
from stepline.contract import EventKind, Status

from infra.cancellation import Cancellation
from infra.codec import dumps, loads, timestamp
from infra.codec import now as utc_now
from infra.envelope import TaskMessage
from infra.state.answers import (
    SAVE,
    pairs,
    read_claim,
    read_end,
    read_entry,
    read_steps,
    read_task,
    text,
)
from infra.state.models import (
    Claim,
    Closed,
    Ended,
    EventId,
    Held,
    Missing,
    NewEvent,
    Settlement,
    StoredEvent,
    TaskState,
    Yours,
    format_event_id,
)
from infra.state.redis import Connections, translated
from infra.state.scripts import Argument, ScriptRunner, Words

UNCONFIRMED_FOR = 3600
"""Seconds that a task is kept whose publish was never confirmed."""

LAST_OUTPUT_LIMIT = 4_096
"""Bytes up to which the output of a task's last step is kept with the task itself: no attempt will
ask for it again, and a key less is written."""

ENTRY = 16_384
"""Bytes of several events in one entry of a stream: whoever reads a page of entries has them all in
memory."""

TOGETHER = 200
"""Tasks whose expiry one run of the script sets."""

PREFIX = "stepline:"
CALLED_OFF = f"{PREFIX}called-off"
UNCONFIRMED = f"{PREFIX}unconfirmed"
"""Tasks that the broker may not have, by the time of their submission."""
CALLED_OFF_KEPT = 3600
"""Seconds that the workers are told of a cancellation; the task's own flag stays as long as it."""

WriteAnswer = Literal["ok", "lost", "missing"]


def task_key(task_id: str) -> str:
    return f"{PREFIX}{{{task_id}}}"


def events_key(task_id: str) -> str:
    return f"{task_key(task_id)}:events"


def steps_key(task_id: str) -> str:
    return f"{task_key(task_id)}:steps"


def keys_of(*task_ids: str) -> list[str]:
    """The keys of each task, as the scripts want them."""
    return [
        key
        for task_id in task_ids
        for key in (task_key(task_id), events_key(task_id), steps_key(task_id))
    ]


def channel(task_id: str) -> str:
    """Where the task's events are announced, each with its predecessor's id."""
    return f"{task_key(task_id)}:live"


class State:
    """Tasks in Redis. Methods raise `StateUnavailable` when Redis is away; each may be repeated."""

    def __init__(self, connections: Connections) -> None:
        self._client: async_redis.Redis = connections.client()
        self.scripts = ScriptRunner(self._client)

    async def close(self) -> None:
        await self.scripts.close()
        await self._client.aclose()

    async def ping(self) -> None:
        with translated():
            await self._client.ping()

    async def submit(
        self, queue: str, task: TaskMessage, steps: Mapping[str, bytes] | None = None
    ) -> bool:
        """Create the task, PENDING or SCHEDULED, with its `queued` event and the checkpoints that
        it takes over; False if it is there already."""
        _, created = await asyncio.gather(
            self._unconfirmed([task.id]),
            self.scripts.call("submit", *_submission(queue, task, steps or {})),
        )
        return bool(created)

    async def submit_all(self, queue: str, tasks: Sequence[TaskMessage]) -> None:
        """Several that take over nothing."""
        noted = self._unconfirmed([task.id for task in tasks])
        created = self.scripts.run_all("submit", [_submission(queue, task, {}) for task in tasks])
        await asyncio.gather(noted, created)

    def _unconfirmed(self, task_ids: Sequence[str]) -> asyncio.Future[Any]:
        moment = time.time()
        items = [item for task_id in task_ids for item in (moment, task_id)]
        return self.scripts.call(None, (), ["ZADD", UNCONFIRMED, *items])

    async def confirm(self, *task_ids: str) -> None:
        """The broker has them: they stay."""
        await self.scripts.command("ZREM", UNCONFIRMED, *task_ids)

    async def forget_unconfirmed(self, limit: int = TOGETHER) -> int:
        """Let go of tasks whose publish was never confirmed and that nobody has taken in
        `UNCONFIRMED_FOR` seconds: at most `limit`. Returns how many it looked at. Should the broker
        have one after all, its worker makes it anew."""
        before = time.time() - UNCONFIRMED_FOR
        old = await self.scripts.command(
            "ZRANGEBYSCORE", UNCONFIRMED, "-inf", before, "LIMIT", 0, limit
        )
        task_ids = [text(item) for item in old]
        if task_ids:
            await self.scripts.run("forget", keys_of(*task_ids), [])
            await self.confirm(*task_ids)
        return len(task_ids)

    async def release(self, task_id: str) -> None:
        """The time of a deferred task has come: it waits for a worker now."""
        await self.scripts.run("release", [task_key(task_id)], [timestamp(utc_now())])

    async def bring_forward(self, task_id: str, at: datetime) -> None:
        """Let a deferred task be due at `at`."""
        args: list[Argument] = [at.timestamp() * 1000, timestamp(utc_now())]
        await self.scripts.run("advance", [task_key(task_id)], args)

    async def end(
        self,
        task_id: str,
        kind: EventKind,
        status: Status,
        error: Mapping[str, Any],
        *,
        flag: Mapping[str, Any] | None = None,
        takeover: str = "",
    ) -> Missing | Ended | Held | Closed:
        """End a task that nobody holds (or whose holder, with the token `takeover`, is dead).
        For one that is held, `flag` is kept as its cancellation: the holder sees it."""
        at = timestamp(utc_now())
        head = dumps({"task_id": task_id, "kind": kind})[:-1] + b',"attempt":'
        tail = b"," + dumps({"at": at, "message": error["message"], "error": error})[1:]
        fields: dict[str, Argument] = {
            "status": status,
            "error": dumps(error),
            "result": b"null",
            "finished_at": at,
            "updated_at": at,
        }
        wish: Argument = b"" if flag is None else dumps(flag)
        args = [channel(task_id), token_hex(12), takeover, wish, kind, head, tail, *_flat(fields)]
        answer = await self.scripts.run("end", [task_key(task_id), events_key(task_id)], args)
        return read_end(answer)

    async def call_off(self, task_id: str) -> None:
        """Tell the workers that a task's cancellation flag was set."""
        now = time.time()
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zadd(CALLED_OFF, {task_id: now})
            pipeline.zremrangebyscore(CALLED_OFF, 0, now - CALLED_OFF_KEPT)
            await pipeline.execute()

    async def called_off(self) -> list[str]:
        """The tasks that somebody wants ended, whoever holds them."""
        with translated():
            return [text(item) for item in await self._client.zrange(CALLED_OFF, 0, -1)]

    async def obeyed(self, task_id: str) -> None:
        """The task that was called off has ended."""
        with translated():
            await self._client.zrem(CALLED_OFF, task_id)

    async def cancellation(self, task_id: str, token: str) -> Cancellation | None:
        """What the holder with this token was told, if anything."""
        owner, flag = await self.scripts.command("HMGET", task_key(task_id), "token", "cancel")
        if owner is None or text(owner) != token or flag is None:
            return None
        return Cancellation.from_json(loads(flag))

    async def steps(self, task_id: str) -> dict[tuple[int, str], bytes]:
        """The checkpoints, and the last step's output, as they were stored."""
        raw, (step, output) = await asyncio.gather(
            self.scripts.command("HGETALL", steps_key(task_id)),
            self.scripts.command("HMGET", task_key(task_id), "last_step", "last_output"),
        )
        stored = pairs(raw)
        return read_steps(stored if step is None else {**stored, step: output})[0]

    async def claim(
        self,
        queue: str,
        task: TaskMessage,
        *,
        token: str,
        worker: str,
        takeover: str = "",
        create: bool = False,
    ) -> Claim:
        """Try to take the task. `takeover` is the token of a holder known to be dead; `create`
        makes the task anew when Redis has forgotten it."""
        words = _claim(task, token, _Attempted(worker), takeover)
        if create:
            words[1].extend([1, *_flat(created_fields(queue, task))])
        return read_claim(await self.scripts.call("claim", *words), token)

    async def claim_all(
        self, tasks: Sequence[TaskMessage], tokens: Sequence[str], worker: str
    ) -> list[Claim]:
        """Try to take several, each with a token of its own."""
        attempted = _Attempted(worker)
        runs = [_claim(task, token, attempted) for task, token in zip(tasks, tokens, strict=True)]
        answers = await self.scripts.run_all("claim", runs)
        return [read_claim(answer, token) for answer, token in zip(answers, tokens, strict=True)]

    async def write(
        self,
        task_id: str,
        token: str,
        *,
        events: Sequence[NewEvent] = (),
        fields: Mapping[str, Argument] | None = None,
        steps: Mapping[str, bytes] | None = None,
        drop: Sequence[EventId] = (),
    ) -> WriteAnswer:
        """The holder's events, fields and checkpoints, in one go. `drop` forgets old progress."""
        args: list[Argument] = [channel(task_id), token, *_entries(events)]
        args += [len(fields or {}), *_flat(fields or {})]
        args += [len(steps or {}), *_flat(steps or {})]
        args += [len(drop), *(format_event_id(item) for item in drop)]
        keys = keys_of(task_id)
        return text(await self.scripts.run("write", keys, args))  # type: ignore[return-value]

    async def settle(
        self,
        task_id: str,
        token: str,
        *,
        events: Sequence[NewEvent],
        fields: Mapping[str, Argument],
        steps: Mapping[str, bytes] | None = None,
    ) -> WriteAnswer:
        """Let go of the task with the last events of this attempt (an end, or a retry to come):
        whoever sees the last of `events` finds `fields` written."""
        words = _settlement(Settlement(task_id, token, events, fields, steps or {}))
        return text(await self.scripts.call("settle", *words))  # type: ignore[return-value]

    async def settle_all(self, settlements: Sequence[Settlement]) -> list[WriteAnswer]:
        """As `settle`, for several tasks: each has its own answer."""
        answers = await self.scripts.run_all("settle", [_settlement(item) for item in settlements])
        return [text(answer) for answer in answers]  # type: ignore[misc]

    async def restore(
        self,
        queue: str,
        task: TaskMessage,
        claim: Yours,
        worker: str,
        *,
        steps: Mapping[str, bytes],
        events: Sequence[NewEvent],
    ) -> WriteAnswer:
        """Put back what a living holder knows of a task that Redis has lost, or that a superseded
        attempt has put back before it."""
        fields = created_fields(queue, task) | {
            "status": Status.RUNNING,
            "holder": worker,
            "attempt": claim.attempt,
            "failures": claim.failures,
            "losses": claim.losses,
            "started_at": timestamp(claim.started_at),
        }
        if events:
            fields["last"] = format_event_id(events[-1].id)
        args: list[Argument] = [claim.token, claim.attempt, len(fields), *_flat(fields)]
        args += [len(steps), *_flat(steps), len(events)]
        for event in events:
            args += [format_event_id(event.id), event.kind, event.json]
        keys = keys_of(task.id)
        return text(await self.scripts.run("restore", keys, args))  # type: ignore[return-value]

    async def get(self, task_id: str) -> TaskState | None:
        raw = await self.scripts.command("HGETALL", task_key(task_id))
        return read_task(pairs(raw))

    async def get_many(self, task_ids: Sequence[str]) -> list[TaskState | None]:
        """Several at once, in their order."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for task_id in task_ids:
                pipeline.hgetall(task_key(task_id))
            return [read_task(raw) for raw in await pipeline.execute()]

    async def events(self, task_id: str, after: EventId = (0, 0)) -> list[StoredEvent]:
        """The events that are kept, in order, after the one with id `after`."""
        events = await self.events_from(task_id, after)
        return [event for event in events if event.id > after]

    async def events_from(
        self, task_id: str, event_id: EventId, limit: int | None = None
    ) -> list[StoredEvent]:
        """The event with that id, if it is kept, and the at most `limit` after it, in order."""
        start = format_event_id(event_id) if any(event_id) else "-"
        limits: tuple[Argument, ...] = () if limit is None else ("COUNT", limit + 1)
        entries = await self.scripts.command("XRANGE", events_key(task_id), start, "+", *limits)
        events = [
            event for entry in entries for event in read_entry(*entry) if event.id >= event_id
        ]
        return events if limit is None else events[: limit + 1]

    async def expire(self, task_ids: Sequence[str], seconds: int) -> None:
        """Let ended tasks go after `seconds`."""
        runs = [
            self.scripts.call("expire", keys_of(*task_ids[start : start + TOGETHER]), [seconds])
            for start in range(0, len(task_ids), TOGETHER)
        ]
        await asyncio.gather(*runs)


def _submission(queue: str, task: TaskMessage, steps: Mapping[str, bytes]) -> Words:
    queued = dumps(queued_event(task))
    args: list[Argument] = [task.type, queue, queued, len(steps), *_flat(steps)]
    return keys_of(task.id), [*args, *_flat(created_fields(queue, task))]


class _Attempted:
    """What claims of one moment have in common."""

    def __init__(self, worker: str) -> None:
        moment = utc_now()
        self.worker = worker
        self.epoch_ms = moment.timestamp() * 1000
        self.at = timestamp(moment)
        self.tail = b"," + dumps({"at": self.at, "worker": worker})[1:]
        """Of the `started` event, after the attempt's number."""


def _claim(
    task: TaskMessage, token: str, attempted: _Attempted, takeover: str = ""
) -> tuple[list[str], list[Argument]]:
    head = dumps({"task_id": task.id, "kind": EventKind.STARTED})[:-1] + b',"attempt":'
    args: list[Argument] = [channel(task.id), token, attempted.worker, attempted.epoch_ms]
    args += [takeover, task.attempt, task.failures, head, attempted.tail, attempted.at]
    return keys_of(task.id), args


def _settlement(settlement: Settlement) -> Words:
    task_id, steps, fields = settlement.task_id, settlement.steps, dict(settlement.fields)
    if len(steps) == 1 and fields["status"] is Status.SUCCESS:
        ((step, output),) = steps.items()
        if len(output) <= LAST_OUTPUT_LIMIT:
            fields["last_step"], fields["last_output"] = step, output
            steps = {}
    args: list[Argument] = [channel(task_id), settlement.token, *_entries(settlement.events)]
    return keys_of(task_id), [*args, len(steps), *_flat(steps), *_flat(fields)]


def queued_event(task: TaskMessage) -> dict[str, Any]:
    """The first event of a task."""
    return {
        "task_id": task.id,
        "kind": EventKind.QUEUED,
        "attempt": 0,
        "at": timestamp(task.created_at),
    }


def created_fields(queue: str, task: TaskMessage) -> dict[str, Argument]:
    """The hash of a task that nobody has touched yet."""
    created = timestamp(task.created_at)
    fields: dict[str, Argument] = {
        "id": task.id,
        "type": task.type,
        "queue": queue,
        "status": Status.SCHEDULED if task.run_at > time.time() else Status.PENDING,
        "handlers": dumps(task.handlers),
        "created_at": created,
        "updated_at": created,
    }
    for name in ("name", "retry_of", "from_step"):
        if value := getattr(task, name):
            fields[name] = value
    for name in ("run_at", "deadline"):
        if value := getattr(task, name):
            fields[name] = value * 1000
    if not_before := max(task.not_before, task.run_at):
        fields["not_before"] = not_before * 1000
    return fields


def checkpoint_field(index: int, handler: str) -> str:
    return f"{index}:{handler}"


def saved_field(index: int) -> str:
    return f"{SAVE}{index}"


def _entries(events: Sequence[NewEvent]) -> list[Argument]:
    """The events as the scripts write them: those in a row are one entry of the stream, which goes
    by the last one's id. Progress is an entry of its own, since it is dropped by itself."""
    args: list[Argument] = []
    entry: list[Argument] = []
    count = size = 0
    for place, event in enumerate(events):
        entry += [event.kind, event.json]
        size += len(event.json)
        following = events[place + 1] if place + 1 < len(events) else None
        if following is None or _is_apart(event, following) or size + len(following.json) > ENTRY:
            args += [format_event_id(event.id), len(entry) // 2, *entry]
            entry, size = [], 0
            count += 1
    return [count, *args]


def _is_apart(event: NewEvent, following: NewEvent) -> bool:
    attempt, seq = event.id
    in_a_row = following.id == (attempt, seq + 1)
    return not in_a_row or EventKind.STEP_PROGRESS in (event.kind, following.kind)


def _flat(fields: Mapping[str, Argument]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]
