"""What the state answers: plain values, no Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from stepline.contract import EventKind, Status

from infra.cancellation import Cancellation
from infra.sse import frame

EventId: TypeAlias = tuple[int, int]
"""(attempt, seq): the stream entry's id and the SSE id, `attempt-seq`."""

FIRST: EventId = (0, 0)

TERMINAL: frozenset[str] = frozenset(kind for kind in EventKind if kind.terminal)


def parse_event_id(text: str) -> EventId:
    """`attempt-seq`. Raises `ValueError`."""
    major, separator, minor = text.partition("-")
    if not separator or not (major.isdecimal() and minor.isdecimal() and len(text) <= 40):
        raise ValueError(f"not an event id: {text!r}")
    return int(major), int(minor)


def format_event_id(event_id: EventId) -> str:
    return f"{event_id[0]}-{event_id[1]}"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be written: its data is encoded already."""

    id: EventId
    kind: EventKind
    json: bytes


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a holder leaves behind as it lets go: its last events, fields and checkpoints."""

    task_id: str
    token: str
    events: Sequence[NewEvent]
    fields: Mapping[str, str | bytes | int | float]
    steps: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is kept and sent."""

    id: EventId
    kind: str
    json: bytes

    @property
    def terminal(self) -> bool:
        return self.kind in TERMINAL  # which a kind of a newer version is not

    def frame(self) -> bytes:
        """The event on the wire."""
        return frame(format_event_id(self.id), self.kind, self.json)


@dataclass(slots=True)
class TaskState:
    """A task as Redis knows it."""

    id: str
    type: str
    queue: str
    status: Status
    handlers: list[str]
    created_at: datetime
    updated_at: datetime
    name: str | None = None
    attempt: int = 0
    failures: int = 0
    holder: str | None = None
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    not_before: float = 0.0
    run_at: float = 0.0
    deadline: float = 0.0
    retry_of: str | None = None
    from_step: int = 0
    step: int | None = None
    progress: dict[str, Any] | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    last: EventId = FIRST


@dataclass(frozen=True, slots=True)
class Missing:
    """Redis knows no such task."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The task has ended."""

    status: Status


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Someone has cancelled the task, and nobody alive holds it."""

    cancellation: Cancellation


@dataclass(frozen=True, slots=True)
class Expired:
    """It is too late to start it: its deadline was at `deadline`, epoch seconds."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The task has ended now, without a holder; `last` is its terminal event."""

    last: EventId


@dataclass(frozen=True, slots=True)
class Early:
    """Its time has not come: `wait` seconds to go."""

    wait: float


@dataclass(frozen=True, slots=True)
class Held:
    """A process holds it."""

    holder: str
    token: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Yours:
    """The claim holds: every write goes with `token`. `outputs` are the checkpoints by
    (index, handler), `saved` what steps kept of their own by index: both as they were written."""

    token: str
    attempt: int
    failures: int
    losses: int
    started_at: datetime
    taken_over: bool
    outputs: dict[tuple[int, str], bytes] = field(default_factory=dict)
    saved: dict[int, bytes] = field(default_factory=dict)


Claim: TypeAlias = Missing | Ended | CancelRequested | Expired | Early | Held | Yours
