"""A task's live state: every transition is one script, fenced by the token of its claim."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import redis.asyncio as async_redis
from stepline.contract import EventKind, Status

from infra.codec import dumps, loads, moment, timestamp
from infra.codec import now as utc_now
from infra.envelope import TaskMessage
from infra.state.models import (
    CancelRequested,
    Claim,
    Early,
    Ended,
    EventId,
    Held,
    Missing,
    NewEvent,
    StoredEvent,
    TaskState,
    Yours,
    format_event_id,
    parse_event_id,
)
from infra.state.redis import Connections, translated
from infra.state.scripts import Argument, ScriptRunner

UNCONFIRMED_TTL = 3600
"""Seconds that a task lives whose publish was never confirmed."""

PREFIX = "stepline:"
SAVE = "save:"

WriteAnswer = Literal["ok", "lost", "missing"]


def task_key(task_id: str) -> str:
    return f"{PREFIX}{{{task_id}}}"


def events_key(task_id: str) -> str:
    return f"{task_key(task_id)}:events"


def steps_key(task_id: str) -> str:
    return f"{task_key(task_id)}:steps"


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

    async def submit(self, queue: str, task: TaskMessage) -> bool:
        """Create the task, PENDING, with its `queued` event; False if it is there already."""
        fields = created_fields(queue, task)
        queued = dumps(
            {
                "task_id": task.id,
                "kind": EventKind.QUEUED,
                "attempt": 0,
                "at": timestamp(task.created_at),
            }
        )
        created = await self.scripts.run(
            "submit",
            [task_key(task.id), events_key(task.id)],
            [UNCONFIRMED_TTL, queued, *_flat(fields)],
        )
        return bool(created)

    async def confirm(self, task_id: str) -> None:
        """The broker has it: lift the expiry."""
        await self.scripts.run("confirm", [task_key(task_id), events_key(task_id)], [])

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
        started = timestamp(utc_now())
        head = dumps({"task_id": task.id, "kind": EventKind.STARTED})[:-1] + b',"attempt":'
        tail = b"," + dumps({"at": started, "worker": worker})[1:]
        args: list[Argument] = [channel(task.id), token, worker, time.time() * 1000, takeover]
        args += [task.attempt, task.failures, head, tail, started]
        if create:
            args += [1, *_flat(created_fields(queue, task))]
        answer = await self.scripts.run(
            "claim", [task_key(task.id), events_key(task.id), steps_key(task.id)], args
        )
        return _read_claim(answer, token)

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
        args: list[Argument] = [channel(task_id), token, len(events)]
        for event in events:
            args += [format_event_id(event.id), event.kind, event.json]
        args += [len(fields or {}), *_flat(fields or {})]
        args += [len(steps or {}), *_flat(steps or {})]
        args += [len(drop), *(format_event_id(item) for item in drop)]
        keys = [task_key(task_id), events_key(task_id), steps_key(task_id)]
        return _text(await self.scripts.run("write", keys, args))  # type: ignore[return-value]

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
        args: list[Argument] = [channel(task_id), token, len(events)]
        for event in events:
            args += [format_event_id(event.id), event.kind, event.json]
        args += [len(steps or {}), *_flat(steps or {}), *_flat(fields)]
        keys = [task_key(task_id), events_key(task_id), steps_key(task_id)]
        return _text(await self.scripts.run("settle", keys, args))  # type: ignore[return-value]

    async def restore(
        self,
        queue: str,
        task: TaskMessage,
        claim: Yours,
        worker: str,
        steps: Mapping[str, bytes],
    ) -> WriteAnswer:
        """Put back what a living holder knows of a task that Redis has lost."""
        fields = created_fields(queue, task) | {
            "status": Status.RUNNING,
            "holder": worker,
            "attempt": claim.attempt,
            "failures": claim.failures,
            "losses": claim.losses,
            "started_at": timestamp(claim.started_at),
        }
        args: list[Argument] = [claim.token, len(fields), *_flat(fields)]
        args += [len(steps), *_flat(steps)]
        answer = await self.scripts.run("restore", [task_key(task.id), steps_key(task.id)], args)
        return _text(answer)  # type: ignore[return-value]

    async def get(self, task_id: str) -> TaskState | None:
        raw = await self.scripts.command("HGETALL", task_key(task_id))
        return _read_task(_pairs(raw))

    async def get_many(self, task_ids: Sequence[str]) -> list[TaskState | None]:
        """Several at once, in their order."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for task_id in task_ids:
                pipeline.hgetall(task_key(task_id))
            return [_read_task(raw) for raw in await pipeline.execute()]

    async def events(self, task_id: str, after: EventId = (0, 0)) -> list[StoredEvent]:
        """The events that are kept, in order, after the one with id `after`."""
        with translated():
            entries = await self._client.xrange(
                events_key(task_id), min=f"({format_event_id(after)}" if any(after) else "-"
            )
        return [
            StoredEvent(parse_event_id(_text(entry_id)), _text(entry[b"k"]), entry[b"d"])
            for entry_id, entry in entries
        ]

    async def expire(self, task_ids: Iterable[str], seconds: int) -> None:
        """Let ended tasks go after `seconds`."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for task_id in task_ids:
                for key in (task_key(task_id), events_key(task_id), steps_key(task_id)):
                    pipeline.expire(key, seconds)
            await pipeline.execute()


def created_fields(queue: str, task: TaskMessage) -> dict[str, Argument]:
    """The hash of a task that nobody has touched yet."""
    created = timestamp(task.created_at)
    fields: dict[str, Argument] = {
        "id": task.id,
        "type": task.type,
        "queue": queue,
        "status": Status.PENDING,
        "handlers": dumps(task.handlers),
        "created_at": created,
        "updated_at": created,
    }
    if task.name:
        fields["name"] = task.name
    if task.not_before:
        fields["not_before"] = task.not_before * 1000
    return fields


def checkpoint_field(index: int, handler: str) -> str:
    return f"{index}:{handler}"


def saved_field(index: int) -> str:
    return f"{SAVE}{index}"


def _flat(fields: Mapping[str, Argument]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _pairs(flat: Any) -> dict[bytes, bytes]:
    """HGETALL as RESP2 gives it, or as a map."""
    if isinstance(flat, dict):
        return flat
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _read_claim(answer: list[Any], token: str) -> Claim:
    kind = _text(answer[0])
    match kind:
        case "missing":
            return Missing()
        case "ended":
            return Ended(Status(_text(answer[1])))
        case "cancelled":
            return CancelRequested(loads(answer[1]))
        case "early":
            return Early(float(answer[1]) / 1000)
        case "held":
            return Held(_text(answer[1]), _text(answer[2]), int(answer[3]))
        case "yours":
            return _read_yours(answer, token)
        case _:
            raise ValueError(f"claim answered {kind!r}")


def _read_yours(answer: list[Any], token: str) -> Yours:
    outputs: dict[tuple[int, str], bytes] = {}
    saved: dict[int, bytes] = {}
    for raw_field, value in _pairs(answer[6]).items():
        field = _text(raw_field)
        if field.startswith(SAVE):
            saved[int(field.removeprefix(SAVE))] = value
        else:
            index, _, handler = field.partition(":")
            outputs[int(index), handler] = value
    return Yours(
        token=token,
        attempt=int(answer[1]),
        failures=int(answer[2]),
        losses=int(answer[3]),
        started_at=moment(_text(answer[4])),
        taken_over=bool(answer[5]),
        outputs=outputs,
        saved=saved,
    )


def _read_task(raw: dict[bytes, bytes]) -> TaskState | None:
    if not raw:
        return None
    fields = {key.decode(): value.decode() for key, value in raw.items()}

    def when(name: str) -> datetime | None:
        return moment(fields[name]) if name in fields else None

    def parsed(name: str) -> Any:
        return loads(fields[name]) if name in fields else None

    return TaskState(
        id=fields["id"],
        type=fields["type"],
        queue=fields["queue"],
        status=Status(fields["status"]),
        handlers=loads(fields["handlers"]),
        created_at=moment(fields["created_at"]),
        updated_at=moment(fields["updated_at"]),
        name=fields.get("name"),
        attempt=int(fields.get("attempt", 0)),
        failures=int(fields.get("failures", 0)),
        holder=fields.get("holder"),
        worker=fields.get("worker") or fields.get("holder"),
        started_at=when("started_at"),
        finished_at=when("finished_at"),
        not_before=float(fields.get("not_before", 0)) / 1000,
        step=int(fields["step"]) if "step" in fields else None,
        progress=parsed("progress"),
        result=parsed("result"),
        error=parsed("error"),
        last=parse_event_id(fields.get("last", "0-0")),
    )
