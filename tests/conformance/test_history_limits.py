"""The history at its edges: large documents, foreign words, many matches, hasty migrations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import uuid_utils
from alembic import op
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection
from stepline.contract import Status

from infra.codec import now
from infra.history import reading
from infra.history.base import (
    AttemptRecord,
    DeadLetterRecord,
    HistoryRejected,
    HistoryUnavailable,
    TaskFilter,
    TaskRecord,
)
from infra.history.engine import in_transaction
from infra.history.repository import SQLHistory, open_history
from tests.waiting import wait_for


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/history.db"
    mysql_database: str = request.getfixturevalue("mysql_database")
    return mysql_database


@pytest.fixture
async def history(url: str) -> AsyncIterator[SQLHistory]:
    history = await open_history(url, migrate=True)
    yield history
    await history.close()


@pytest.fixture
async def on_mysql(mysql_database: str) -> AsyncIterator[SQLHistory]:
    history = await open_history(mysql_database, migrate=True)
    yield history
    await history.close()


def record(status: Status = Status.PENDING, attempt: int = 0, **more: Any) -> TaskRecord:
    values: dict[str, Any] = {
        "id": str(uuid_utils.uuid7()),
        "type": "quick",
        "queue": "quick_tasks",
        "seq": 1,
        "created_at": now(),
        "updated_at": now(),
        "handlers": ["quick"],
        **more,
    }
    return TaskRecord(status=status, attempt=attempt, **values)


PACKET = 4 << 20
# 1.5 million quotes are 3 MB of JSON and 6 MB of SQL: more than a packet in one statement.
QUOTES = {"text": '"' * 1_500_000}
EMOJI = {"text": "😀" * 700_000}


@pytest.fixture
async def tight(history: SQLHistory) -> AsyncIterator[SQLHistory]:
    """A history whose server takes little at once (SQLite has no such limit)."""
    if history._engine.dialect.name == "sqlite":
        yield history
        return
    usual = await _packet(history, PACKET)
    yield history
    await _packet(history, usual)


async def _packet(history: SQLHistory, size: int) -> int:
    """Set what the server takes of new connections; the size so far."""
    async with history._engine.connect() as connection:
        question = text("SELECT @@global.max_allowed_packet")
        before = int((await connection.execute(question)).scalar_one())
        await connection.execute(text(f"SET GLOBAL max_allowed_packet = {size}"))
    await history._engine.dispose()
    return before


async def test_documents_larger_than_a_packet_are_kept_whole(tight: SQLHistory) -> None:
    attempt = AttemptRecord(1, "w", [{"n": 1}], [{"index": 0, "output": QUOTES}])
    large = record(Status.SUCCESS, 1, payload=QUOTES, result=EMOJI, attempts=[attempt])
    neighbour = record(payload={"small": True})

    for _ in range(2):  # a repetition neither doubles nor erases anything
        await tight.record([large, neighbour])

    found = await tight.get(large.id)
    assert found is not None
    assert found.payload == QUOTES
    assert found.result == EMOJI
    assert (await tight.attempts(large.id))[0].outputs == attempt.outputs
    beside = await tight.get(neighbour.id)
    assert beside is not None
    assert beside.payload == {"small": True}


async def test_a_large_document_that_comes_late_replaces_nothing(tight: SQLHistory) -> None:
    ended = record(Status.SUCCESS, 1, payload={"first": 1}, result="first")
    full = AttemptRecord(1, "w", [{"n": 1}, {"n": 2}], [])
    ended.attempts = [full]
    await tight.record([ended])

    late = record(Status.FAILURE, 2, id=ended.id, payload=QUOTES, result=QUOTES)
    late.attempts = [AttemptRecord(1, "w", [{"n": 1}], [{"output": QUOTES}])]
    await tight.record([late])

    found = await tight.get(ended.id)
    assert found is not None
    assert (found.payload, found.result) == ({"first": 1}, "first")
    assert await tight.attempts(ended.id) == [full]


async def test_a_large_dead_letter_is_kept_whole(tight: SQLHistory) -> None:
    body = b"\x00\xff" + b"'" * 3_000_000
    letter = DeadLetterRecord("letter", "undecodable", "quick_tasks", body, died_at=now())

    for _ in range(2):
        await tight.add_dead_letters([letter])

    assert await tight.dead_letters() == [letter]


async def test_a_document_that_cannot_fit_is_a_rejection_not_an_outage(
    on_mysql: SQLHistory,
) -> None:
    usual = await _packet(on_mysql, PACKET)
    try:
        with pytest.raises(HistoryRejected, match="max_allowed_packet"):
            await on_mysql.record([record(payload={"text": "x" * PACKET})])
        assert (await on_mysql.list_tasks(TaskFilter())).total == 0
    finally:
        await _packet(on_mysql, usual)


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "half \ud800 a character"},
        {"payload": {"not": object()}},
        {"seq": 1 << 70},
        {"created_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))},
    ],
    ids=["surrogate", "not JSON", "number", "time"],
)
async def test_a_value_that_cannot_be_sent_is_a_rejection(
    history: SQLHistory, broken: dict[str, Any]
) -> None:
    with pytest.raises(HistoryRejected):
        await history.record([record(**broken)])


@pytest.mark.parametrize("word", ["ü", "中文", "😀"])
async def test_foreign_words_find_nothing_and_break_nothing(history: SQLHistory, word: str) -> None:
    task = record()
    await history.record([task])

    assert await history.get(word) is None
    assert await history.attempts(word) == []
    assert (await history.list_tasks(TaskFilter(type=word))).total == 0
    assert (await history.list_tasks(TaskFilter(queue=word))).total == 0
    assert (await history.list_tasks(TaskFilter(text=word))).total == 0
    assert [item.id for item in (await history.list_tasks(TaskFilter(), after=word)).tasks] == [
        task.id
    ]
    assert await history.dead_letter(word) is None
    assert await history.bulk_action(word) is None
    assert await history.dead_letters(after=word) == []


async def test_an_id_is_found_however_it_is_written(history: SQLHistory) -> None:
    task = record()
    await history.record([task])

    assert (await history.list_tasks(TaskFilter(text=task.id.upper()))).tasks[0].id == task.id


async def test_two_ends_in_one_batch_are_as_two_in_two(history: SQLHistory) -> None:
    first = record(Status.SUCCESS, 1, result="first")
    second = record(Status.FAILURE, 2, id=first.id)

    await history.record([first, second])

    found = await history.get(first.id)
    assert found is not None
    assert (found.status, found.result) == (Status.SUCCESS, "first")


async def test_who_ran_a_task_is_filled_in_after_its_end(history: SQLHistory) -> None:
    end = record(Status.CANCELLED, 1)
    await history.record([end])

    await history.record([record(Status.RUNNING, 1, id=end.id, worker="w", seq=0)])

    found = await history.get(end.id)
    assert found is not None
    assert (found.status, found.worker) == (Status.CANCELLED, "w")


def explained(history: SQLHistory) -> list[str]:
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


async def test_many_matches_by_text_are_paged_without_sorting_them(
    history: SQLHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TOTAL_CAP", 100)
    await history.record([record(name=f"n{number}") for number in range(300)])
    plans = explained(history)
    first = await history.list_tasks(TaskFilter(text="n"), limit=200)
    second = await history.list_tasks(TaskFilter(text="n"), limit=200, after=first.next)

    seen = [task.id for page in (first, second) for task in page.tasks]
    assert len(seen) == 300
    assert seen == sorted(seen, reverse=True)
    assert len(plans) == 2
    assert not any("filesort" in plan or "TEMP B-TREE" in plan for plan in plans), plans


async def test_processes_that_migrate_at_once_wait_for_each_other(url: str) -> None:
    opened = await asyncio.gather(*(open_history(url, migrate=True) for _ in range(4)))

    for history in opened:
        assert await history.count_users() == 8
        await history.close()


class Interrupted(Exception):
    """Somebody stops the process between two tables."""


def interrupt(*_: object) -> None:
    raise Interrupted


async def test_an_interrupted_migration_of_sqlite_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/history.db"
    with monkeypatch.context() as patch:
        patch.setattr(op, "bulk_insert", interrupt)
        with pytest.raises(Interrupted):
            await open_history(url, migrate=True)

    history = await open_history(url, migrate=True)
    assert await history.count_users() == 8
    await history.close()


async def test_an_interrupted_migration_of_mysql_says_what_to_do(
    mysql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(op, "bulk_insert", interrupt)
        with pytest.raises(Interrupted):
            await open_history(mysql_database, migrate=True)

    with pytest.raises(
        HistoryUnavailable, match=r"tasks, users but no revision.*empty the database"
    ):
        await open_history(mysql_database, migrate=True)


async def test_what_has_not_ended_is_read_by_its_index(history: SQLHistory) -> None:
    ended = [record(Status.SUCCESS, 1) for _ in range(300)]
    await history.record([record(), *ended])
    plans = explained(history)

    assert len(await history.unfinished(after=replace(ended[0], id=ended[0].id[:8]))) == 1

    assert ["ix_tasks_waiting" in plan for plan in plans] == [True], plans


async def test_connections_that_the_server_closed_are_made_anew(on_mysql: SQLHistory) -> None:
    await asyncio.gather(*(on_mysql.count_users() for _ in range(3)))

    await kill_others(on_mysql)

    assert await on_mysql.count_users() == 8


async def test_a_connection_lost_in_mid_transaction_is_an_outage(on_mysql: SQLHistory) -> None:
    async def sleep(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT SLEEP(30)"))

    lost = asyncio.create_task(in_transaction(on_mysql._engine, sleep))
    await until(
        on_mysql,
        "SELECT COUNT(*) FROM information_schema.processlist WHERE "
        "db = DATABASE() AND info = 'SELECT SLEEP(30)'",
    )
    await kill_others(on_mysql)

    with pytest.raises(HistoryUnavailable):
        await lost


async def test_the_victim_of_a_deadlock_tries_again(on_mysql: SQLHistory) -> None:
    """Another transaction has changed much, the last of our rows among it, and wants our first."""
    first, *others = sorted((record() for _ in range(20)), key=lambda item: item.id)
    await on_mysql.record([first, *others])
    change = text("UPDATE tasks SET seq = seq + 1 WHERE id = :id")
    async with on_mysql._engine.connect() as other:
        for item in others:
            await other.execute(change, {"id": item.id})
        end = replace(others[-1], status=Status.SUCCESS, attempt=1)
        ours = asyncio.create_task(on_mysql.record([replace(first, status=Status.SUCCESS), end]))
        await until(on_mysql, "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        await other.execute(change, {"id": first.id})
        await other.commit()
    await ours

    ended = await on_mysql.list_tasks(TaskFilter(status=Status.SUCCESS))
    assert {task.id for task in ended.tasks} == {first.id, end.id}


async def kill_others(history: SQLHistory) -> None:
    """End all connections to the database but the one that says so."""
    async with history._engine.connect() as connection:
        found = await connection.execute(
            text(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
        )
        for number in found.scalars().all():
            await connection.execute(text(f"KILL {number}"))


async def until(history: SQLHistory, question: str) -> None:
    """Ask the server until the last column of its answer is a number above zero."""

    async def seen() -> bool:
        async with history._engine.connect() as connection:
            return int((await connection.execute(text(question))).one()[-1]) > 0

    await wait_for(seen)
