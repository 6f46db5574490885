"""The history over SQL: SQLite when embedded, MySQL or MariaDB otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine
from stepline.authoring import UserRecord

from infra.history import (
    activity,
    bulk_actions,
    dead_letters,
    deferred,
    failures,
    reading,
    retention,
    users,
    writing,
)
from infra.history.base import (
    AttemptRecord,
    Backlog,
    BulkRecord,
    DeadLetterFilter,
    DeadLetterRecord,
    HistoryUnavailable,
    TaskFilter,
    TaskList,
    TaskRecord,
)
from infra.history.engine import in_transaction, make_engine
from infra.history.operations import Activity, FailureFilter, FailureGroup
from infra.history.schema import current_revision, latest_revision, migrate_engine


class SQLHistory:
    """`infra.history.base.History`; each method is told in full there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._recording = asyncio.Lock()
        """Two batches at once would wait for each other's rows; one is prepared meanwhile."""

    async def check(self) -> None:
        current = await current_revision(self._engine)
        if current != latest_revision():
            raise HistoryUnavailable(
                f"the database's schema is {current or 'empty'}, but this version needs "
                f"{latest_revision()}: run `./task migrate`"
            )

    async def close(self) -> None:
        await self._engine.dispose()

    async def record(self, records: Sequence[TaskRecord]) -> None:
        if not records:
            return
        write = await writing.prepare(self._engine.dialect.name, records)
        async with self._recording:
            await in_transaction(self._engine, write)

    async def get(self, task_id: str) -> TaskRecord | None:
        return await reading.get(self._engine, task_id)

    async def by_idempotency_key(self, key: str) -> TaskRecord | None:
        return await reading.by_idempotency_key(self._engine, key)

    async def attempts(self, task_id: str) -> list[AttemptRecord]:
        return await reading.attempts(self._engine, task_id)

    async def list_tasks(
        self, where: TaskFilter, *, after: str | None = None, limit: int = 50
    ) -> TaskList:
        return await reading.list_tasks(self._engine, where, after, limit)

    async def count_tasks(self, where: TaskFilter) -> int:
        return await reading.count(self._engine, where)

    async def unfinished(
        self, *, after: TaskRecord | None = None, limit: int = 500
    ) -> list[TaskRecord]:
        return await reading.unfinished(self._engine, after, limit)

    async def oldest_waiting(self, queue: str) -> datetime | None:
        return await reading.oldest_waiting(self._engine, queue)

    async def backlog(self, queue: str | None = None) -> Backlog:
        return await reading.backlog(self._engine, queue)

    async def count_ahead(self, queue: str, task_id: str) -> int:
        return await reading.count_ahead(self._engine, queue, task_id)

    async def retries_of(self, task_id: str, *, limit: int = 100) -> list[str]:
        return await reading.retries_of(self._engine, task_id, limit)

    async def activity(
        self, since: int, *, span: int, step: int, task_type: str | None = None
    ) -> list[Activity]:
        return await activity.read(self._engine, since, span=span, step=step, task_type=task_type)

    async def prune_activity(self, now: datetime) -> None:
        await activity.prune(self._engine, now)

    async def failure_groups(
        self,
        where: FailureFilter = FailureFilter(),  # noqa: B008 (it is frozen)
        *,
        limit: int = 100,
    ) -> list[FailureGroup]:
        return await failures.page(self._engine, where, limit)

    async def failure_group(self, fingerprint: str) -> FailureGroup | None:
        return await failures.get(self._engine, fingerprint)

    async def resolve_failures(self, fingerprint: str, *, by: str, at: datetime) -> bool:
        return await failures.resolve(self._engine, fingerprint, by, at)

    async def reopen_failures(self, fingerprint: str) -> bool:
        return await failures.resolve(self._engine, fingerprint, None, None)

    async def prune_failures(self, before: datetime) -> None:
        await failures.prune(self._engine, before)

    async def due(self, by: datetime, *, limit: int = 500) -> list[TaskRecord]:
        return await deferred.due(self._engine, by, limit)

    async def released(self, task_ids: Sequence[str], at: datetime) -> None:
        if task_ids:
            await deferred.released(self._engine, task_ids, at)

    async def bring_forward(self, task_id: str, at: datetime) -> bool:
        return await deferred.bring_forward(self._engine, task_id, at)

    async def count_deferred(self) -> int:
        return await deferred.count(self._engine)

    async def prune_tasks(self, before: datetime, *, limit: int = 500) -> list[str]:
        return await retention.prune_tasks(self._engine, before, limit)

    async def prune_dead_letters(self, before: datetime, *, limit: int = 500) -> int:
        return await retention.prune_dead_letters(self._engine, before, limit)

    async def add_dead_letters(self, letters: Sequence[DeadLetterRecord]) -> None:
        if letters:
            await dead_letters.add(self._engine, letters)

    async def dead_letter(self, letter_id: str) -> DeadLetterRecord | None:
        return await dead_letters.get(self._engine, letter_id)

    async def dead_letters(
        self,
        where: DeadLetterFilter = DeadLetterFilter(),  # noqa: B008 (it is frozen)
        *,
        after: str | None = None,
        limit: int = 50,
    ) -> list[DeadLetterRecord]:
        return await dead_letters.page(self._engine, where, after, limit)

    async def count_dead_letters(self, where: DeadLetterFilter) -> int:
        return await dead_letters.count(self._engine, where)

    async def resolve_dead_letter(
        self,
        letter_id: str,
        resolution: str,
        *,
        by: str,
        at: datetime,
        replayed_as: str | None = None,
    ) -> bool:
        return await dead_letters.resolve(
            self._engine, letter_id, resolution, by=by, at=at, replayed_as=replayed_as
        )

    async def add_bulk_action(self, record: BulkRecord) -> None:
        await bulk_actions.add(self._engine, record)

    async def bulk_action(self, action_id: str) -> BulkRecord | None:
        return await bulk_actions.get(self._engine, action_id)

    async def bulk_actions(self, *, limit: int = 50) -> list[BulkRecord]:
        return await bulk_actions.newest(self._engine, limit)

    async def running_bulk_action(self) -> BulkRecord | None:
        return await bulk_actions.running(self._engine)

    async def advance_bulk_action(self, record: BulkRecord) -> bool:
        return await bulk_actions.advance(self._engine, record)

    async def abort_bulk_action(self, action_id: str, at: datetime) -> bool:
        return await bulk_actions.abort(self._engine, action_id, at)

    async def count_users(self) -> int:
        return await users.count(self._engine)

    async def list_users(self, *, offset: int = 0, limit: int = 100) -> list[UserRecord]:
        return await users.page(self._engine, offset, limit)

    async def get_users(self, ids: Sequence[int]) -> dict[int, UserRecord]:
        return await users.by_ids(self._engine, ids)

    async def create_user(self, username: str, email: str) -> UserRecord:
        return await users.create(self._engine, username, email)

    async def update_user(
        self, user_id: int, *, username: str | None = None, email: str | None = None
    ) -> UserRecord | None:
        return await users.change(self._engine, user_id, username, email)

    async def delete_user(self, user_id: int) -> bool:
        return await users.remove(self._engine, user_id)


async def open_history(url: str, *, migrate: bool = False) -> SQLHistory:
    """Connect; with `migrate` the schema is brought up to date first. Raises `HistoryUnavailable`
    when the database does not answer or is not migrated."""
    engine = make_engine(url)
    history = SQLHistory(engine)
    try:
        if migrate:
            await migrate_engine(engine)
        await history.check()
    except BaseException:
        await history.close()
        raise
    return history
