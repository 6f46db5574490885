"""What the history takes and gives: plain records, no SQL.

A task's line in history only ever moves forward: a record with a higher `version` replaces
status, times, result and error; an end is final; what a record leaves None fills nothing and
erases nothing. Records may come twice, late and in any order, and each alone can create the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from stepline.authoring import UserRecord
from stepline.contract import Status
from stepline.errors import SteplineError

from infra.history.operations import Operations

VERSION_STEP = 1_000_000
TERMINAL_VERSION = 1 << 60


def version_of(status: Status, attempt: int, seq: int) -> int:
    """Orders the records of one task: by attempt, then by event; an end is above all."""
    version = attempt * VERSION_STEP + min(seq, VERSION_STEP - 1)
    return version + TERMINAL_VERSION if status.ended else version


@dataclass(slots=True)
class AttemptRecord:
    """One attempt: its events (progress left out) and step outputs, as JSON values."""

    attempt: int
    worker: str
    events: Sequence[Any]
    outputs: list[dict[str, Any]]
    """Of each step that this attempt completed: `index`, `handler`, `output`."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: dict[str, Any] | None = None


@dataclass(slots=True)
class TaskRecord:
    """What is known of a task at one moment."""

    id: str
    type: str
    queue: str
    status: Status
    attempt: int
    seq: int
    created_at: datetime
    updated_at: datetime
    handlers: list[str]
    name: str | None = None
    payload: dict[str, Any] | None = None
    """None where the record leaves it to another one (it is large)."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    worker: str | None = None
    result: Any = None
    error: dict[str, Any] | None = None
    run_at: datetime | None = None
    """Of a deferred task: its time."""
    due_at: datetime | None = None
    """As `run_at`, for as long as it waits in the database for it."""
    deadline: datetime | None = None
    retry_of: str | None = None
    from_step: int = 0
    idempotency_key: str | None = None
    attempts: list[AttemptRecord] = field(default_factory=list)

    @property
    def version(self) -> int:
        return version_of(self.status, self.attempt, self.seq)

    @property
    def tells_all(self) -> bool:
        """It is an end, with all that the record of the acceptance says."""
        return self.status.ended and self.payload is not None


@dataclass(slots=True)
class DeadLetterRecord:
    """A message that could not be worked off, and why. `id` makes a repetition recognisable."""

    id: str
    reason: str
    queue: str
    body: bytes
    died_at: datetime
    task_id: str | None = None
    task_type: str | None = None
    error: dict[str, Any] | None = None
    resolution: str | None = None
    """`replayed` or `discarded`, once somebody has seen to it."""
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    replayed_as: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """What to show of the dead letters; None means any. `since` is inclusive, `until` exclusive,
    both of `died_at`."""

    reason: str | None = None
    queue: str | None = None
    task_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    resolved: bool | None = None


@dataclass(slots=True)
class BulkRecord:
    """An action upon all that matches a filter, and how far it is. `state`: running, done,
    aborted, failed. `position` is the last row that was acted upon."""

    id: str
    action: str
    filter: dict[str, Any]
    state: str
    total: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    position: str | None = None
    done: int = 0
    skipped: int = 0
    failed: int = 0
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What `list_tasks` shall show; None means any. `since` is inclusive, `until` exclusive, both
    of `created_at`. `text` matches the beginning of the name or of the id, `worker` whoever ran it
    last, `fingerprint` the group of failures that it belongs to."""

    status: Status | None = None
    type: str | None = None
    queue: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    worker: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class TaskList:
    """One page, newest first. `next` is the id to go on after, or None at the end. `total` counts
    the matching tasks up to `LIST_CAP`."""

    tasks: list[TaskRecord]
    next: str | None
    total: int
    total_capped: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many tasks have not ended, by status: of the `TOTAL_CAP` oldest, if there are more."""

    by_status: dict[Status, int]
    capped: bool


TOTAL_CAP = 10_000
LIST_CAP = 1_000
"""Of a list's matching tasks: to count ten times as many takes as long as all else about a page."""
AHEAD_CAP = 1_000


class UserConflict(Exception):
    """Another user has this `field` already."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class HistoryUnavailable(SteplineError):
    """The database cannot be reached, or gave up on a transaction for now."""

    code = "database_unavailable"


class HistoryRejected(Exception):
    """The database refuses a row of the batch for what it holds: repeating will not help."""


class History(Operations, Protocol):
    """The history's port: SQLite and MySQL/MariaDB behave the same through it."""

    async def check(self) -> None:
        """Raise `HistoryUnavailable` unless the database answers and is migrated."""
        ...

    async def close(self) -> None: ...

    async def record(self, records: Sequence[TaskRecord]) -> None:
        """Upsert all records (and their attempts) in one transaction."""
        ...

    async def get(self, task_id: str) -> TaskRecord | None:
        """One task, whole but for `attempts`."""
        ...

    async def by_idempotency_key(self, key: str) -> TaskRecord | None:
        """The newest task that was submitted with this key, whole but for `attempts`."""
        ...

    async def attempts(self, task_id: str) -> list[AttemptRecord]:
        """The task's attempts, in order."""
        ...

    async def list_tasks(
        self, where: TaskFilter, *, after: str | None = None, limit: int = 50
    ) -> TaskList:
        """A page of tasks without payload and result. Ids are time-ordered (UUIDv7): newest first
        is id descending, so a page costs the same however many rows there are."""
        ...

    async def count_tasks(self, where: TaskFilter) -> int:
        """All that match: the time it takes grows with them."""
        ...

    async def unfinished(
        self, *, after: TaskRecord | None = None, limit: int = 500
    ) -> list[TaskRecord]:
        """Tasks that have not ended, whole, in order of queue and id, after the one given."""
        ...

    async def oldest_waiting(self, queue: str) -> datetime | None:
        """When the oldest task of a queue was accepted that waits for a worker now (or was due,
        if it was deferred); None if none waits."""
        ...

    async def backlog(self, queue: str | None = None) -> Backlog:
        """The tasks that have not ended, of one queue or of all, by status."""
        ...

    async def count_ahead(self, queue: str, task_id: str) -> int:
        """How many tasks of the queue were accepted before this one and wait for a worker; counted
        up to `AHEAD_CAP`."""
        ...

    async def due(self, by: datetime, *, limit: int = 500) -> list[TaskRecord]:
        """Deferred tasks whose time is at or before `by`, whole, the earliest first."""
        ...

    async def released(self, task_ids: Sequence[str], at: datetime) -> None:
        """Deferred tasks that have been published: they wait for a worker now."""
        ...

    async def bring_forward(self, task_id: str, at: datetime) -> bool:
        """Let a deferred task be due at `at`; False if it waits no more."""
        ...

    async def count_deferred(self) -> int: ...

    async def prune_tasks(self, before: datetime, *, limit: int = 500) -> list[str]:
        """Forget up to `limit` tasks that ended before `before`; returns their ids."""
        ...

    async def prune_dead_letters(self, before: datetime, *, limit: int = 500) -> int:
        """Forget up to `limit` dead letters that died before `before` and were seen to."""
        ...

    async def add_dead_letters(self, letters: Sequence[DeadLetterRecord]) -> None:
        """Insert; those whose id is there already are left as they are."""
        ...

    async def dead_letter(self, letter_id: str) -> DeadLetterRecord | None: ...

    async def dead_letters(
        self,
        where: DeadLetterFilter = DeadLetterFilter(),
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> list[DeadLetterRecord]:
        """Newest first."""
        ...

    async def count_dead_letters(self, where: DeadLetterFilter) -> int:
        """All that match."""
        ...

    async def resolve_dead_letter(
        self,
        letter_id: str,
        resolution: str,
        *,
        by: str,
        at: datetime,
        replayed_as: str | None = None,
    ) -> bool:
        """Mark it as seen to; False if it is not open."""
        ...

    async def add_bulk_action(self, record: BulkRecord) -> None: ...

    async def bulk_action(self, action_id: str) -> BulkRecord | None: ...

    async def bulk_actions(self, *, limit: int = 50) -> list[BulkRecord]:
        """Newest first."""
        ...

    async def running_bulk_action(self) -> BulkRecord | None:
        """The oldest one that is not through."""
        ...

    async def advance_bulk_action(self, record: BulkRecord) -> bool:
        """Save how far it is; False if it was aborted meanwhile."""
        ...

    async def abort_bulk_action(self, action_id: str, at: datetime) -> bool:
        """False if it is through, or aborted already."""
        ...

    async def count_users(self) -> int: ...

    async def list_users(self, *, offset: int = 0, limit: int = 100) -> list[UserRecord]: ...

    async def get_users(self, ids: Sequence[int]) -> dict[int, UserRecord]: ...

    async def create_user(self, username: str, email: str) -> UserRecord:
        """Raises `UserConflict`."""
        ...

    async def update_user(
        self, user_id: int, *, username: str | None = None, email: str | None = None
    ) -> UserRecord | None:
        """None if there is no such user. Raises `UserConflict`."""
        ...

    async def delete_user(self, user_id: int) -> bool: ...
