"""The history: what waits for its time, what is forgotten, dead letters and bulk actions."""

from __future__ import annotations

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
from infra.history.base import (
    AttemptRecord,
    BulkRecord,
    DeadLetterFilter,
    DeadLetterRecord,
    TaskFilter,
    TaskRecord,
)
from infra.history.repository import SQLHistory, open_history


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.services)])
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SQLHistory]:
    url = f"sqlite+aiosqlite:///{tmp_path}/history.db"
    if request.param == "mysql":
        url = request.getfixturevalue("mysql_database")
    history = await open_history(url, migrate=True)
    yield history
    await history.close()


def id_of(moment: datetime) -> str:
    """A task id of that time."""
    fresh = str(uuid_utils.uuid7())
    digits = f"{int(moment.timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}{fresh[13:]}"


def task(status: Status = Status.PENDING, made: datetime | None = None, **more: Any) -> TaskRecord:
    made = made or now()
    values: dict[str, Any] = {
        "id": id_of(made),
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


def deferred(seconds: float) -> TaskRecord:
    when = now() + timedelta(seconds=seconds)
    return task(Status.SCHEDULED, run_at=when, due_at=when)


async def test_what_is_due_comes_earliest_first(history: SQLHistory) -> None:
    late, soon, far = deferred(-1), deferred(0.5), deferred(100)
    await history.record([far, soon, late, task()])

    due = await history.due(now() + timedelta(seconds=1))

    assert [item.id for item in due] == [late.id, soon.id]
    assert due[0].run_at == late.run_at
    assert await history.count_deferred() == 3


async def test_what_was_released_waits_no_more(history: SQLHistory) -> None:
    waiting = deferred(-1)
    await history.record([waiting])

    await history.released([waiting.id], now())
    await history.record([waiting])  # its record comes a second time

    found = await history.get(waiting.id)
    assert found is not None
    assert (found.status, found.due_at, found.run_at) == (Status.PENDING, None, waiting.run_at)
    assert await history.due(now()) == []


async def test_what_was_cancelled_is_not_released(history: SQLHistory) -> None:
    waiting = deferred(-1)
    await history.record([waiting])
    end = replace(waiting, status=Status.CANCELLED, seq=2, due_at=None, finished_at=now())
    await history.record([end])

    assert await history.due(now()) == []
    await history.released([waiting.id], now())

    found = await history.get(waiting.id)
    assert found is not None
    assert found.status is Status.CANCELLED


async def test_a_record_that_comes_late_defers_nothing_again(history: SQLHistory) -> None:
    waiting = deferred(-1)
    await history.record([replace(waiting, status=Status.RUNNING, attempt=1, due_at=None)])

    await history.record([waiting])

    assert await history.due(now()) == []


async def test_a_deferred_task_is_brought_forward_while_it_waits(history: SQLHistory) -> None:
    waiting = deferred(3600)
    await history.record([waiting])

    assert await history.bring_forward(waiting.id, now()) is True

    (due,) = await history.due(now())
    await history.released([due.id], now())
    assert await history.bring_forward(waiting.id, now()) is False


async def test_the_oldest_that_waits_is_found_behind_what_runs_or_is_deferred(
    history: SQLHistory,
) -> None:
    old = [now() - timedelta(seconds=seconds) for seconds in (50, 40, 30)]
    running, first, second = (task(made=made) for made in old)
    running.status, running.attempt = Status.RUNNING, 1
    elsewhere = task(made=now() - timedelta(seconds=60), queue="long_tasks")
    await history.record([running, first, second, deferred(3600), elsewhere])

    assert await history.oldest_waiting("quick_tasks") == first.created_at
    assert await history.oldest_waiting("long_tasks") == elsewhere.created_at
    assert await history.oldest_waiting("email_tasks") is None


async def test_a_deferred_task_waits_from_its_time_on(history: SQLHistory) -> None:
    waiting = deferred(-5)
    await history.record([waiting])
    assert await history.oldest_waiting("quick_tasks") is None

    await history.released([waiting.id], now())

    assert await history.oldest_waiting("quick_tasks") == waiting.run_at


async def test_old_ends_are_forgotten_in_batches_and_nothing_else(history: SQLHistory) -> None:
    old = now() - timedelta(days=40)
    attempt = AttemptRecord(1, "w", [], [])
    ended = [task(Status.SUCCESS, old, attempts=[attempt]) for _ in range(5)]
    unfinished, lately, recent = task(made=old), task(Status.SUCCESS, old), task(Status.FAILURE)
    lately.finished_at = now()
    await history.record([*ended, unfinished, lately, recent])
    before = now() - timedelta(days=30)

    first = await history.prune_tasks(before, limit=3)
    second = await history.prune_tasks(before, limit=3)

    assert sorted([*first, *second]) == sorted(item.id for item in ended)
    assert await history.prune_tasks(before, limit=3) == []
    assert await history.attempts(ended[0].id) == []
    kept = {item.id for item in (await history.list_tasks(TaskFilter())).tasks}
    assert kept == {unfinished.id, lately.id, recent.id}


def letter(died_at: datetime | None = None, **more: Any) -> DeadLetterRecord:
    values: dict[str, Any] = {
        "id": str(uuid_utils.uuid7()),
        "reason": "handler_error",
        "queue": "quick_tasks",
        "body": b"{}",
        "died_at": died_at or now(),
        "task_type": "quick",
        **more,
    }
    return DeadLetterRecord(**values)


async def test_letters_are_found_by_what_they_are(history: SQLHistory) -> None:
    mine = letter(reason="undecodable", queue="long_tasks", task_type="long")
    others = [letter() for _ in range(3)]
    await history.add_dead_letters([mine, *others])
    filters = [
        DeadLetterFilter(reason="undecodable"),
        DeadLetterFilter(queue="long_tasks"),
        DeadLetterFilter(task_type="long", resolved=False),
        DeadLetterFilter(until=mine.died_at + timedelta(microseconds=1)),
    ]

    for where in filters:
        assert mine.id in [item.id for item in await history.dead_letters(where)], where
    assert await history.count_dead_letters(DeadLetterFilter(reason="undecodable")) == 1
    assert await history.count_dead_letters(DeadLetterFilter()) == 4
    assert await history.dead_letters(DeadLetterFilter(reason="中文")) == []


async def test_a_letter_is_seen_to_once(history: SQLHistory) -> None:
    mine, other = letter(), letter()
    await history.add_dead_letters([mine, other])
    at = datetime(2026, 1, 1, tzinfo=UTC)

    done = [
        await history.resolve_dead_letter(
            mine.id, "replayed", by="ops", at=at, replayed_as=other.id
        )
        for _ in range(2)
    ]
    await history.add_dead_letters([mine])  # it comes a second time

    assert done == [True, False]
    found = await history.dead_letter(mine.id)
    assert found is not None
    assert (found.resolution, found.resolved_by, found.resolved_at, found.replayed_as) == (
        "replayed",
        "ops",
        at,
        other.id,
    )
    still_open = await history.dead_letters(DeadLetterFilter(resolved=False))
    assert [item.id for item in still_open] == [other.id]


async def test_open_letters_are_never_forgotten(history: SQLHistory) -> None:
    old = now() - timedelta(days=40)
    seen_to, still_open = letter(old), letter(old)
    await history.add_dead_letters([seen_to, still_open])
    await history.resolve_dead_letter(seen_to.id, "discarded", by="ops", at=now())

    assert await history.prune_dead_letters(now() - timedelta(days=30)) == 1

    assert [item.id for item in await history.dead_letters()] == [still_open.id]


def action() -> BulkRecord:
    return BulkRecord(
        id=str(uuid_utils.uuid7()),
        action="retry",
        filter={"type": "中文"},
        state="running",
        total=3,
        created_by="ops",
        created_at=now(),
        updated_at=now(),
    )


async def test_a_bulk_action_goes_on_where_it_was_saved(history: SQLHistory) -> None:
    first, second = action(), action()
    await history.add_bulk_action(second)
    await history.add_bulk_action(first)
    assert await history.running_bulk_action() == min(first, second, key=lambda item: item.id)

    first.position, first.done, first.error = "FAILURE:x", 2, {"code": "c", "message": "m"}
    assert await history.advance_bulk_action(first) is True

    assert await history.bulk_action(first.id) == first
    first.state = "done"
    await history.advance_bulk_action(first)
    assert await history.running_bulk_action() == second
    assert {item.id for item in await history.bulk_actions()} == {first.id, second.id}


async def test_an_aborted_action_advances_no_more(history: SQLHistory) -> None:
    mine = action()
    await history.add_bulk_action(mine)

    assert await history.abort_bulk_action(mine.id, now()) is True
    assert await history.abort_bulk_action(mine.id, now()) is False

    mine.done = 3
    assert await history.advance_bulk_action(mine) is False
    found = await history.bulk_action(mine.id)
    assert found is not None
    assert (found.state, found.done) == ("aborted", 0)


async def test_each_question_is_answered_by_an_index(history: SQLHistory) -> None:
    old = now() - timedelta(days=40)
    await history.record([task(Status.SUCCESS, old) for _ in range(300)])
    await history.record([deferred(-1), task()])
    await history.add_dead_letters([letter() for _ in range(300)])
    for item in (await history.dead_letters(limit=290))[:290]:
        await history.resolve_dead_letter(item.id, "discarded", by="ops", at=now())
    plans = _explained(history)

    await history.due(now())
    await history.dead_letters(DeadLetterFilter(resolved=False), limit=5)
    await history.dead_letters(limit=5)
    await history.prune_tasks(old - timedelta(days=1))
    await history.running_bulk_action()

    expected = [
        ("ix_tasks_due",),
        ("ix_dead_letters_open",),
        ("ix_dead_letters_died_at",),
        ("PRIMARY", "sqlite_autoindex_tasks"),
        ("ix_bulk_actions_state",),
    ]
    for plan, names in zip(plans, expected, strict=True):
        assert any(name in plan for name in names), plan


def _explained(history: SQLHistory) -> list[str]:
    """The plan of each sorted statement from here on."""
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN" if history._engine.dialect.name == "sqlite" else "EXPLAIN"

    def note(*call: Any) -> None:
        _, cursor, statement, parameters = call[:4]
        if "ORDER BY" in statement and not statement.startswith("EXPLAIN"):
            cursor.execute(f"{explain} {statement}", parameters)
            plans.append(str(cursor.fetchall()))

    event.listen(history._engine.sync_engine, "before_cursor_execute", note)
    return plans
