"""What operators ask the history: both databases answer alike, each question by an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uuid_utils
from sqlalchemy import event
from stepline.contract import Status

from infra.codec import now
from infra.history import reading
from infra.history.base import Backlog, TaskFilter, TaskRecord
from infra.history.buckets import bounds
from infra.history.operations import HOUR, MINUTE, FailureFilter
from infra.history.reading import id_at
from infra.history.repository import SQLHistory, open_history


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.services)])
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SQLHistory]:
    url = f"sqlite+aiosqlite:///{tmp_path}/history.db"
    if request.param == "mysql":
        url = request.getfixturevalue("mysql_database")
    history = await open_history(url, migrate=True)
    yield history
    await history.close()


def task(status: Status = Status.PENDING, **more: Any) -> TaskRecord:
    made = now()
    values: dict[str, Any] = {
        "id": str(uuid_utils.uuid7()),
        "type": "quick",
        "queue": "quick_tasks",
        "status": status,
        "attempt": 1 if status.ended else 0,
        "seq": 1,
        "created_at": made,
        "updated_at": made,
        "finished_at": made if status.ended else None,
        "handlers": ["quick"],
        "payload": {},
        **more,
    }
    return TaskRecord(**values)


def plans_of(history: SQLHistory) -> list[str]:
    """The plan of each question from here on."""
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN" if history._engine.dialect.name == "sqlite" else "EXPLAIN"

    def note(*call: Any) -> None:
        _, cursor, statement, parameters = call[:4]
        if statement.startswith("SELECT"):
            cursor.execute(f"{explain} {statement}", parameters)
            plans.append(str(cursor.fetchall()))

    event.listen(history._engine.sync_engine, "before_cursor_execute", note)
    return plans


async def test_ahead_of_a_task_are_those_of_its_queue_that_wait_and_came_before(
    history: SQLHistory,
) -> None:
    waiting = [task() for _ in range(3)]
    elsewhere, done, running = (
        task(queue="long_tasks"),
        task(Status.SUCCESS),
        task(Status.RUNNING, attempt=1),
    )
    deferred = task(Status.SCHEDULED, run_at=now(), due_at=now())
    last = task()
    await history.record([*waiting, elsewhere, done, running, deferred, last, task()])
    plans = plans_of(history)

    assert await history.count_ahead("quick_tasks", last.id) == 3
    assert await history.count_ahead("quick_tasks", waiting[0].id) == 0
    assert all("ix_tasks_waiting" in plan for plan in plans), plans


async def test_the_retries_of_a_task_are_found_in_order(history: SQLHistory) -> None:
    origin = task(Status.FAILURE)
    first, second = task(retry_of=origin.id), task(retry_of=origin.id)
    await history.record([origin, second, first, task()])
    plans = plans_of(history)

    assert await history.retries_of(origin.id) == [first.id, second.id]
    assert await history.retries_of("ü") == []
    assert all("ix_tasks_retry_of" in plan for plan in plans), plans


async def test_the_backlog_is_counted_by_status_and_queue(history: SQLHistory) -> None:
    await history.record(
        [
            *(task() for _ in range(3)),
            task(Status.RUNNING, attempt=1),
            task(Status.SCHEDULED, queue="long_tasks", run_at=now(), due_at=now()),
            task(Status.SUCCESS),
        ]
    )
    plans = plans_of(history)

    whole, quick = await history.backlog(), await history.backlog("quick_tasks")

    assert whole.by_status == {Status.PENDING: 3, Status.RUNNING: 1, Status.SCHEDULED: 1}
    assert quick.by_status == {Status.PENDING: 3, Status.RUNNING: 1}
    assert not whole.capped
    assert all("ix_tasks_waiting" in plan for plan in plans), plans


async def test_a_long_backlog_is_counted_up_to_a_cap(
    history: SQLHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TOTAL_CAP", 5)
    await history.record([task() for _ in range(8)])

    assert await history.backlog() == Backlog({Status.PENDING: 5}, capped=True)


async def test_tasks_are_listed_by_the_worker_that_ran_them(history: SQLHistory) -> None:
    here = [task(Status.SUCCESS, worker="w1") for _ in range(3)]
    await history.record([*here, *(task(Status.SUCCESS, worker="w2") for _ in range(200))])
    plans = plans_of(history)

    first = await history.list_tasks(TaskFilter(worker="w1"), limit=2)
    rest = await history.list_tasks(TaskFilter(worker="w1"), limit=2, after=first.next)

    assert [item.id for item in (*first.tasks, *rest.tasks)] == [item.id for item in here[::-1]]
    assert first.total == 3
    assert (await history.list_tasks(TaskFilter(worker="工人"))).total == 0
    assert all("ix_tasks_worker" in plan for plan in plans[:4]), plans
    assert not any("filesort" in plan or "TEMP B-TREE" in plan for plan in plans), plans


NOON = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)


def ended(status: Status, seconds: float, at: datetime = NOON, **more: Any) -> TaskRecord:
    """One that took so long, and ended at that time."""
    made = at - timedelta(seconds=seconds)
    return task(status, created_at=made, updated_at=at, finished_at=at, **more)


async def counts(history: SQLHistory, span: int = MINUTE, **more: Any) -> Counter[tuple[str, str]]:
    """What is counted of that day, by type and outcome."""
    since = int((NOON - timedelta(hours=12)).timestamp())
    found: Counter[tuple[str, str]] = Counter()
    for item in await history.activity(since, span=span, step=span, **more):
        found[item.type, item.outcome] += item.count
    return found


async def test_what_happens_is_counted_by_the_minute_and_by_the_hour(history: SQLHistory) -> None:
    slow = ended(Status.FAILURE, 100, type="slow", queue="long_tasks", error=BROKEN)
    await history.record([ended(Status.SUCCESS, 0.5), ended(Status.SUCCESS, 0.5), slow])
    await history.record([ended(Status.CANCELLED, 2, at=NOON + timedelta(minutes=1))])

    expected = {
        ("quick", "accepted"): 3,
        ("quick", "SUCCESS"): 2,
        ("quick", "CANCELLED"): 1,
        ("slow", "accepted"): 1,
        ("slow", "FAILURE"): 1,
    }
    assert await counts(history) == expected
    assert await counts(history, HOUR) == expected
    assert await counts(history, task_type="slow") == {
        name: count for name, count in expected.items() if name[0] == "slow"
    }
    since = int(NOON.timestamp()) - 30
    minutes = await history.activity(since, span=MINUTE, step=MINUTE)
    assert {item.at - since for item in minutes if item.outcome == "SUCCESS"} == {0}
    assert {item.at - since for item in minutes if item.outcome == "CANCELLED"} == {60}
    together = await history.activity(since - since % 300, span=MINUTE, step=300)
    assert len({item.at for item in together}) == 1
    (failed,) = [item for item in minutes if item.outcome == "FAILURE"]
    lower, upper = bounds(failed.bucket)
    assert lower < 100 <= upper
    assert failed.queue == "long_tasks"


async def test_a_batch_that_comes_again_is_counted_once(history: SQLHistory) -> None:
    accepted = task(created_at=NOON)
    retrying = replace(accepted, status=Status.RETRYING, attempt=1, seq=5, updated_at=NOON)
    end = ended(Status.FAILURE, 3, id=accepted.id, attempt=2, error=BROKEN)
    for batch in ([accepted], [accepted, retrying], [retrying], [end, retrying], [end], [accepted]):
        await history.record(batch)

    assert await counts(history) == {
        ("quick", "accepted"): 1,
        ("quick", "retried"): 1,
        ("quick", "FAILURE"): 1,
    }
    (group,) = await history.failure_groups()
    assert group.count == 1


async def test_a_deferred_task_took_as_long_as_since_its_time(history: SQLHistory) -> None:
    await history.record([ended(Status.SUCCESS, 86_400, run_at=NOON - timedelta(seconds=1))])

    found = await history.activity(int(NOON.timestamp()) - 60, span=MINUTE, step=MINUTE)
    (item,) = [item for item in found if item.outcome == "SUCCESS"]
    assert bounds(item.bucket)[0] < 1 <= bounds(item.bucket)[1] * 1.001


async def test_counts_are_read_by_their_time_and_forgotten_in_time(history: SQLHistory) -> None:
    await history.record([ended(Status.SUCCESS, 1, at=NOON - timedelta(days=n)) for n in range(4)])
    plans = plans_of(history)
    await history.activity(int(NOON.timestamp()) - 3600, span=MINUTE, step=MINUTE)
    assert any(word in plans[0] for word in ("PRIMARY", "sqlite_autoindex_activity")), plans

    await history.prune_activity(NOON + timedelta(hours=1))

    since = int((NOON - timedelta(days=9)).timestamp())

    async def kept(span: int) -> int:
        items = await history.activity(since, span=span, step=span)
        return sum(item.count for item in items if item.outcome == "SUCCESS")

    assert (await kept(MINUTE), await kept(HOUR)) == (2, 4)


BROKEN = {
    "code": "handler_error",
    "message": "ValueError: no 'apples' for order 4711",
    "handler": "quick",
    "details": {},
}


async def test_failures_of_one_cause_are_one_group(history: SQLHistory) -> None:
    later = NOON + timedelta(minutes=5)
    other = BROKEN | {"message": "ValueError: no 'pears' for order 12"}
    first = ended(Status.FAILURE, 1, error=BROKEN)
    second = ended(Status.FAILURE, 1, at=later, error=other)
    apart = ended(Status.FAILURE, 1, error=BROKEN | {"code": "timeout", "handler": "größe"})
    await history.record([second, apart])
    await history.record([first])  # it ended before, and is recorded after

    newest, oldest = await history.failure_groups()

    assert newest.message == "ValueError: no <text> for order <n>"
    assert (newest.count, newest.first_seen, newest.last_seen) == (2, NOON, later)
    assert (newest.sample_task_id, newest.handler) == (second.id, "quick")
    assert (oldest.code, oldest.handler, oldest.count) == ("timeout", "größe", 1)
    assert await history.failure_group(newest.fingerprint) == newest
    of_group = await history.list_tasks(TaskFilter(fingerprint=newest.fingerprint))
    assert {item.id for item in of_group.tasks} == {first.id, second.id}
    assert await history.count_tasks(TaskFilter(fingerprint=newest.fingerprint)) == 2
    await history.prune_failures(NOON + timedelta(minutes=1))
    assert await history.failure_groups() == [newest]


async def test_a_resolved_group_is_opened_by_the_next_failure_and_not_by_a_late_record(
    history: SQLHistory,
) -> None:
    await history.record([ended(Status.FAILURE, 1, error=BROKEN)])
    (group,) = await history.failure_groups()
    resolved_at = NOON + timedelta(minutes=1)

    assert await history.resolve_failures(group.fingerprint, by="ada", at=resolved_at)
    assert not await history.resolve_failures(group.fingerprint, by="bob", at=resolved_at)
    await history.record([ended(Status.FAILURE, 1, error=BROKEN)])  # as old as the first
    (seen_to,) = await history.failure_groups(FailureFilter(resolved=True))
    assert (seen_to.resolved_by, seen_to.resolved_at, seen_to.count) == ("ada", resolved_at, 2)
    assert await history.failure_groups(FailureFilter(resolved=False)) == []

    again = ended(Status.FAILURE, 1, at=NOON + timedelta(minutes=2), error=BROKEN)
    await history.record([again])
    (opened,) = await history.failure_groups(FailureFilter(resolved=False))
    assert (opened.resolved_by, opened.resolved_at, opened.count) == (None, None, 3)

    assert await history.resolve_failures(group.fingerprint, by="ada", at=now())
    assert await history.reopen_failures(group.fingerprint)
    assert not await history.reopen_failures(group.fingerprint)
    assert not await history.reopen_failures("größe")


async def test_groups_and_their_tasks_are_read_by_their_indexes(history: SQLHistory) -> None:
    many = [
        ended(Status.FAILURE, 1, error=BROKEN | {"handler": f"h{number % 60}"})
        for number in range(600)
    ]
    await history.record([*many, *(task(Status.SUCCESS) for _ in range(200))])
    plans = plans_of(history)

    groups = await history.failure_groups(FailureFilter(since=NOON - timedelta(days=1)), limit=5)
    page = await history.list_tasks(TaskFilter(fingerprint=groups[0].fingerprint), limit=5)

    assert (len(groups), len(page.tasks), page.total) == (5, 5, 10)
    assert "ix_failures_last_seen" in plans[0], plans
    assert all("ix_failed_tasks_fingerprint" in plan for plan in plans[1:]), plans
    assert not any("filesort" in plan or "TEMP B-TREE" in plan for plan in plans), plans


async def test_a_task_that_is_forgotten_leaves_its_group(history: SQLHistory) -> None:
    old = ended(Status.FAILURE, 1, error=BROKEN, id=f"{id_at(NOON)[:13]}-7000-8000-000000000000")
    await history.record([old])

    assert await history.prune_tasks(NOON + timedelta(hours=1)) == [old.id]

    (group,) = await history.failure_groups()
    assert group.count == 1
    assert await history.count_tasks(TaskFilter(fingerprint=group.fingerprint)) == 0
