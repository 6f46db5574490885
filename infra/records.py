"""History records on their way through the broker: an accepted envelope, a start, an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from stepline.contract import EventKind, Status

from infra.broker.base import Message
from infra.broker.topology import HISTORY_QUEUE
from infra.codec import dumps, loads, moment
from infra.envelope import Envelope, TaskMessage
from infra.history.base import AttemptRecord, TaskRecord
from infra.state.models import StoredEvent, TaskState, format_event_id

KIND = "record"
PAYLOAD_LIMIT = 64_000
"""Bytes of payload that an outcome carries along; a larger one is left to the accepted record."""

TIMES = (
    "created_at",
    "updated_at",
    "started_at",
    "finished_at",
    "run_at",
    "deadline",
    "due_at",
)
NOT_KEPT = (EventKind.STEP_PROGRESS, EventKind.QUEUED)
"""Events that history does without: the second is the row itself."""


class BadRecord(ValueError):
    """A message on the history queue that is no record."""


def accepted_records(envelope: Envelope) -> list[TaskRecord]:
    """What an envelope, fresh from its acceptance, says about its tasks."""
    return [
        base_record(envelope.queue, task, Status.SCHEDULED if task.run_at else Status.PENDING)
        for task in envelope.tasks
    ]


def base_record(queue: str, task: TaskMessage, status: Status) -> TaskRecord:
    """A record with all that the envelope knows."""
    return TaskRecord(
        id=task.id,
        type=task.type,
        queue=queue,
        status=status,
        attempt=task.attempt,
        seq=0,
        created_at=task.created_at,
        updated_at=task.created_at,
        handlers=list(task.handlers),
        name=task.name,
        payload=dict(task.payload),
        run_at=_time(task.run_at),
        deadline=_time(task.deadline),
        due_at=_time(task.run_at) if status is Status.SCHEDULED else None,
        retry_of=task.retry_of,
        from_step=task.from_step,
        idempotency_key=task.idempotency_key,
    )


def _time(epoch: float) -> datetime | None:
    return datetime.fromtimestamp(epoch, UTC) if epoch else None


def record_from_state(
    state: TaskState,
    events: list[StoredEvent],
    outputs: list[dict[str, Any]],
    task: TaskMessage | None = None,
) -> TaskRecord:
    """An ended task's record from Redis: it ended in nobody's hands, or its worker died before it
    could send it. Without `task` its payload is left to the record of its acceptance."""
    kept = [
        {"id": format_event_id(event.id), **loads(event.json)}
        for event in events
        if event.id[0] == state.attempt and event.kind not in NOT_KEPT
    ]
    attempt = AttemptRecord(state.attempt, state.worker or "", kept, outputs, error=state.error)
    return TaskRecord(
        id=state.id,
        type=state.type,
        queue=state.queue,
        status=state.status,
        attempt=state.last[0],
        seq=state.last[1],
        created_at=state.created_at,
        updated_at=state.updated_at,
        started_at=state.started_at,
        finished_at=state.finished_at,
        handlers=state.handlers,
        name=state.name,
        payload=None if task is None else dict(task.payload),
        worker=state.worker,
        result=state.result,
        error=state.error,
        run_at=_time(state.run_at),
        deadline=_time(state.deadline),
        retry_of=state.retry_of,
        from_step=state.from_step,
        idempotency_key=None if task is None else task.idempotency_key,
        attempts=[attempt],
    )


def encode_record(record: TaskRecord) -> bytes:
    """The record as it travels. A large payload is left to the record of the acceptance."""
    body = dumps(record)
    if len(body) > PAYLOAD_LIMIT and len(dumps(record.payload)) > PAYLOAD_LIMIT:
        return dumps(replace(record, payload=None))
    return body


def records_message(encoded: Sequence[bytes]) -> Message:
    """One message for several records."""
    return Message(KIND, b"[" + b",".join(encoded) + b"]")


def history_message(record: TaskRecord) -> tuple[str, Message]:
    """The queue and the message that bring a record to history."""
    message = records_message([encode_record(record)])
    return HISTORY_QUEUE, replace(message, correlation_id=record.id)


def record_bodies(message: Message) -> list[Any]:
    """The records of a message, not read yet. Raises `BadRecord`."""
    try:
        bodies = loads(message.body)
    except ValueError as error:
        raise BadRecord(f"{type(error).__name__}: {error}") from error
    # one by itself: of a worker from before records travelled together
    return bodies if isinstance(bodies, list) else [bodies]


def read_record(body: Any) -> TaskRecord:
    """Raises `BadRecord`."""
    try:
        body["status"] = Status(body["status"])
        attempts = body.pop("attempts")
        return TaskRecord(
            **_with_times(body), attempts=[AttemptRecord(**_with_times(item)) for item in attempts]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRecord(f"{type(error).__name__}: {error}") from error


def _with_times(body: dict[str, Any]) -> dict[str, Any]:
    return body | {name: moment(body[name]) for name in TIMES if body.get(name) is not None}


def message_of(record: TaskRecord) -> TaskMessage:
    """The task as it travels, from its row."""
    return TaskMessage(
        id=record.id,
        type=record.type,
        handlers=tuple(record.handlers),
        payload=record.payload or {},
        created_at=record.created_at,
        name=record.name,
        attempt=record.attempt,
        run_at=record.run_at.timestamp() if record.run_at else 0.0,
        deadline=record.deadline.timestamp() if record.deadline else 0.0,
        retry_of=record.retry_of,
        from_step=record.from_step,
        idempotency_key=record.idempotency_key,
    )
