"""The envelope: what travels through a work queue, pinned when the task was accepted.

A worker runs the handlers that the envelope names, in its order, whatever the code's own chain has
become meanwhile.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from stepline.errors import SteplineError

from infra.broker.base import Message
from infra.codec import dumps, loads, moment, timestamp

VERSION = 1
KIND = "envelope"


OPTIONAL = (
    "name",
    "attempt",
    "failures",
    "not_before",
    "run_at",
    "deadline",
    "retry_of",
    "from_step",
    "idempotency_key",
)
"""A task's fields that are left out where they say nothing."""


class BadEnvelope(SteplineError):
    """The message is no envelope that anyone could read."""

    code = "undecodable"


class UnknownVersion(SteplineError):
    """The envelope is from a newer version than this worker."""

    code = "unknown_version"


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """One task, as accepted. `attempt` and `failures` are floors: what was known when it was last
    published, for the case that the state has forgotten. Times are epoch seconds, 0 is none:
    `not_before` of the next attempt, `run_at` of a deferred task's first, `deadline` after which it
    is not started. Of a retry, the steps before `from_step` are taken over from `retry_of`."""

    id: str
    type: str
    handlers: tuple[str, ...]
    payload: Mapping[str, Any]
    created_at: datetime
    name: str | None = None
    attempt: int = 0
    failures: int = 0
    not_before: float = 0.0
    run_at: float = 0.0
    deadline: float = 0.0
    retry_of: str | None = None
    from_step: int = 0
    idempotency_key: str | None = None
    trace: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": self.id,
            "type": self.type,
            "handlers": self.handlers,
            "payload": self.payload,
            "created_at": timestamp(self.created_at),
        }
        for name in OPTIONAL:
            if value := getattr(self, name):
                body[name] = value
        if self.trace:
            body["trace"] = self.trace
        return body

    def encode(self) -> EncodedTask:
        """Raises `TypeError` for a payload that is not JSON."""
        return EncodedTask(self, dumps(self.to_json()))

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        fields = dict(body)
        fields["handlers"] = tuple(fields["handlers"])
        fields["created_at"] = moment(fields["created_at"])
        if not isinstance(fields["payload"], dict) or not fields["handlers"]:
            raise ValueError("a task needs a payload and at least one handler")
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class EncodedTask:
    """A task, and its JSON."""

    task: TaskMessage
    json: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """One or several tasks of one queue."""

    queue: str
    tasks: tuple[TaskMessage, ...]

    def message(self) -> Message:
        """Encode for the broker."""
        return envelope_message(self.queue, [task.encode() for task in self.tasks])

    def single(self, task: TaskMessage, **changes: Any) -> Envelope:
        """`task` in an envelope of its own, changed as said."""
        return Envelope(self.queue, (replace(task, **changes),))


def envelope_message(queue: str, tasks: Sequence[EncodedTask]) -> Message:
    """The message of an envelope whose tasks are encoded already."""
    head = dumps({"v": VERSION, "queue": queue})[:-1]
    body = head + b',"tasks":[' + b",".join(item.json for item in tasks) + b"]}"
    return Message(KIND, body, correlation_id=tasks[0].task.id)


def read_envelope(message: Message, *, without: Container[str] = ()) -> Envelope:
    """Decode; the tasks with the ids `without` are left out. Raises `BadEnvelope` or
    `UnknownVersion`."""
    if message.kind != KIND:
        raise BadEnvelope(f"a message of kind {message.kind!r} is no envelope")
    try:
        body = loads(message.body)
        version = body["v"]
        if version != VERSION:
            raise UnknownVersion(f"envelope version {version!r}; this worker reads {VERSION}")
        return Envelope(body["queue"], _tasks(body["tasks"], without))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEnvelope(f"{type(error).__name__}: {error}") from error


def _tasks(items: Sequence[Any], without: Container[str]) -> tuple[TaskMessage, ...]:
    if not items:
        raise ValueError("an envelope without tasks")
    return tuple([TaskMessage.from_json(item) for item in items if item["id"] not in without])
