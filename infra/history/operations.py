"""What operators ask of the history, as plain records: activity over time, failures by cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

MINUTE, HOUR = 60, 3_600
"""Seconds of the two spans that activity is counted by."""

Outcome = Literal["accepted", "retried", "SUCCESS", "FAILURE", "CANCELLED"]


@dataclass(frozen=True, slots=True)
class Activity:
    """So many tasks of a type and queue that had this outcome between `at` (epoch seconds) and the
    next step. Of those that ended, `bucket` says how long they took: see `buckets`."""

    at: int
    type: str
    queue: str
    outcome: Outcome
    bucket: int
    count: int


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures of one cause: of the same type, handler, code and message (numbers, ids and quotes
    left out). `count` is since `first_seen`."""

    fingerprint: str
    type: str
    handler: str | None
    code: str
    message: str
    count: int
    first_seen: datetime
    last_seen: datetime
    sample_task_id: str
    resolved_by: str | None = None
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Which groups: None means any. `since` is of `last_seen`."""

    since: datetime | None = None
    type: str | None = None
    resolved: bool | None = None


class Operations(Protocol):
    """The operators' part of the history's port."""

    async def activity(
        self, since: int, *, span: int, step: int, task_type: str | None = None
    ) -> list[Activity]:
        """What happened from `since` (epoch seconds) on, summed up by steps (seconds, a multiple of
        `span`). Read from counts that are kept by the minute (for two days) and by the hour: what
        it costs depends on the time asked for, not on how many tasks there were."""
        ...

    async def prune_activity(self, now: datetime) -> None:
        """Forget counts by the minute after two days, by the hour after ninety."""
        ...

    async def failure_groups(
        self, where: FailureFilter = FailureFilter(), *, limit: int = 100
    ) -> list[FailureGroup]:
        """The last seen first."""
        ...

    async def failure_group(self, fingerprint: str) -> FailureGroup | None: ...

    async def resolve_failures(self, fingerprint: str, *, by: str, at: datetime) -> bool:
        """Mark a group as seen to, until it fails again; False if it is not open."""
        ...

    async def reopen_failures(self, fingerprint: str) -> bool:
        """False if it is open."""
        ...

    async def prune_failures(self, before: datetime) -> None:
        """Forget the groups that were last seen before `before`."""
        ...

    async def retries_of(self, task_id: str, *, limit: int = 100) -> list[str]:
        """The tasks that were made from this one, the earliest first."""
        ...
