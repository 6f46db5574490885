"""Bulk actions: one action upon many, a little at a time, from where the last round came to.

The cron process (or the embedded stack) does the rounds. A round's position is saved with its
counts; after a crash in between, a round is repeated: ids of new tasks are derived from the
action's, so that nothing is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
import uuid_utils
from stepline.contract import Status
from stepline.errors import SteplineError

from infra.actions import dead_letters
from infra.actions.accept import accept
from infra.actions.base import ActionRefused, Catalogue, NothingThere, Parts
from infra.actions.cancel import cancel
from infra.actions.retry import Draft, derived_id, draft_retry, with_id
from infra.broker.base import BrokerError
from infra.cancellation import Cancellation
from infra.codec import now, timestamp
from infra.history.base import BulkRecord, DeadLetterFilter, HistoryUnavailable, TaskFilter
from infra.state.redis import StateUnavailable

PAGE = 50
FITS_NO_MORE = ("already_ended", "not_ended", "already_resolved", "not_found")
"""Codes that mean: there is nothing to do here."""

AWAY = (BrokerError, StateUnavailable, HistoryUnavailable)

log = structlog.get_logger(__name__)


def new_action(action: str, where: dict[str, Any], by: str) -> BulkRecord:
    """An action that is to begin; `where` is its filter, or `ids`."""
    created = now()
    return BulkRecord(
        id=str(uuid_utils.uuid7()),
        action=action,
        filter=where,
        state="running",
        total=0,
        created_by=by,
        created_at=created,
        updated_at=created,
    )


@dataclass(frozen=True, slots=True)
class Bulk:
    """Does rounds of bulk actions."""

    parts: Parts
    catalogue: Catalogue
    routes: dict[str, str]

    async def advance(self, seconds: float) -> bool:
        """Work on the oldest running action for about so long; False if there is none. Raises
        what is away: the next round goes on."""
        record = await self.parts.history.running_bulk_action()
        if record is None:
            return False
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            page = await self._page(record)
            for position in page:
                await self._one(record, position.rpartition(":")[2])
                record.position = position
            if not page:
                record.state = "done"
            record.updated_at = now()
            if not await self.parts.history.advance_bulk_action(record) or not page:
                break
        return True

    async def _one(self, record: BulkRecord, item: str) -> None:
        try:
            await self._work(record)(record, item)
            record.done += 1
        except AWAY:
            raise
        except (ActionRefused, NothingThere, SteplineError) as error:
            if error.code in FITS_NO_MORE:
                record.skipped += 1
                return
            record.failed += 1
            record.error = record.error or {"code": error.code, "message": f"{item}: {error}"}

    def _work(self, record: BulkRecord) -> Callable[[BulkRecord, str], Awaitable[None]]:
        return {
            "retry": self._retry,
            "cancel": self._cancel,
            "replay": self._replay,
            "discard": self._discard,
        }[record.action]

    async def _retry(self, record: BulkRecord, task_id: str) -> None:
        drafted = await draft_retry(self.parts, self.catalogue, self.routes, task_id)
        await self._accept(record, drafted, task_id)

    async def _cancel(self, record: BulkRecord, task_id: str) -> None:
        cancellation = Cancellation(record.created_by, timestamp(now()), f"bulk {record.id}")
        await cancel(self.parts, task_id, cancellation)

    async def _replay(self, record: BulkRecord, letter_id: str) -> None:
        letter = await dead_letters.find_open(self.parts, letter_id)
        drafted = dead_letters.draft_replay(self.catalogue, self.routes, letter)
        task_id = await self._accept(record, drafted, letter_id)
        await dead_letters.resolve(
            self.parts, letter_id, dead_letters.REPLAYED, record.created_by, task_id
        )

    async def _discard(self, record: BulkRecord, letter_id: str) -> None:
        await dead_letters.find_open(self.parts, letter_id)
        await dead_letters.resolve(self.parts, letter_id, dead_letters.DISCARDED, record.created_by)

    async def _accept(self, record: BulkRecord, drafted: Draft, item: str) -> str:
        drafted = with_id(drafted, derived_id(record.id, item), record.created_at)
        await accept(self.parts, drafted.envelope, drafted.inherited)
        (task,) = drafted.envelope.tasks
        await self.parts.state.confirm(task.id)
        return task.id

    async def _page(self, record: BulkRecord) -> Sequence[str]:
        """The positions of the next ones, newest first. Tasks made after the action (its own
        retries) are none of it: ids are time-ordered."""
        ids: list[str] | None = record.filter.get("ids")
        if ids is not None:
            start = ids.index(record.position) + 1 if record.position is not None else 0
            return ids[start : start + PAGE]
        if record.action in ("retry", "cancel"):
            return await self._tasks(record)
        letters = await self.parts.history.dead_letters(
            letter_filter(record), after=record.position, limit=PAGE
        )
        return [letter.id for letter in letters]

    async def _tasks(self, record: BulkRecord) -> Sequence[str]:
        """One status after the other, in the order in which tasks go through them."""
        reached, _, after = (record.position or "").partition(":")
        statuses = task_statuses(record)
        if reached:
            statuses = statuses[statuses.index(Status(reached)) :]
        for status in statuses:
            page = await self.parts.history.list_tasks(
                task_filter(record, status), after=after or record.id, limit=PAGE
            )
            if page.tasks:
                return [f"{status.value}:{task.id}" for task in page.tasks]
            after = ""
        return []

    async def count(self, record: BulkRecord) -> int:
        """How many there are now."""
        ids = record.filter.get("ids")
        if ids is not None:
            return len(ids)
        history = self.parts.history
        if record.action in ("retry", "cancel"):
            statuses = task_statuses(record)
            return sum(
                [await history.count_tasks(task_filter(record, status)) for status in statuses]
            )
        return await history.count_dead_letters(letter_filter(record))


def task_statuses(record: BulkRecord) -> list[Status]:
    """Those that the action is for, unless the filter names one."""
    if record.filter.get("status"):
        return [Status(record.filter["status"])]
    if record.action == "retry":
        return [Status.FAILURE]
    return [Status.SCHEDULED, Status.PENDING, Status.RETRYING, Status.RUNNING]


def task_filter(record: BulkRecord, status: Status) -> TaskFilter:
    where = record.filter
    return TaskFilter(
        status=status,
        type=where.get("type"),
        queue=where.get("queue"),
        since=_moment(where.get("since")),
        until=_moment(where.get("until")),
        text=where.get("text"),
        worker=where.get("worker"),
        fingerprint=where.get("fingerprint"),
    )


def letter_filter(record: BulkRecord) -> DeadLetterFilter:
    """Those that were open when the action was made."""
    where = record.filter
    until = _moment(where.get("until"))
    return DeadLetterFilter(
        reason=where.get("reason"),
        queue=where.get("queue"),
        task_type=where.get("type"),
        since=_moment(where.get("since")),
        until=min(until, record.created_at) if until is not None else record.created_at,
        resolved=False,
    )


def _moment(value: Any) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
