"""The history: SQLite and MariaDB keep the same rules, whatever the order of the records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uuid_utils
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import SQLModel
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
    UserConflict,
)
from infra.history.repository import SQLHistory, open_history
from infra.history.schema import migrate_engine
from infra.history.writing import merge


@pytest.fixture(params=["sqlite", pytest.param("mysql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/new folder/history.db"
    mysql_database: str = request.getfixturevalue("mysql_database")
    return mysql_database


@pytest.fixture
async def history(url: str) -> AsyncIterator[SQLHistory]:
    history = await open_history(url, migrate=True)
    yield history
    await history.close()


CREATED = now()


def record(
    status: Status = Status.PENDING, attempt: int = 0, seq: int = 0, **more: Any
) -> TaskRecord:
    values: dict[str, Any] = {
        "id": str(uuid_utils.uuid7()),
        "type": "quick",
        "queue": "quick_tasks",
        "created_at": CREATED,
        "updated_at": CREATED + timedelta(seconds=attempt),
        "handlers": ["quick"],
        **more,
    }
    return TaskRecord(status=status, attempt=attempt, seq=seq, **values)


def life(task_id: str) -> list[TaskRecord]:
    """All that is ever said of one task: accepted, running, retrying, running, ended."""
    begun, over = CREATED + timedelta(seconds=1), CREATED + timedelta(seconds=9)
    first = AttemptRecord(1, "w1", [{"n": 1}, {"n": 2}], [], started_at=begun, error={"code": "x"})
    second = AttemptRecord(2, "w2", [{"n": 3}], [{"index": 0, "output": "😀"}], started_at=over)
    return [
        record(id=task_id, payload={"numbers": [1]}, name="名字"),
        record(Status.RUNNING, 1, 1, id=task_id, started_at=begun, worker="w1"),
        record(Status.RETRYING, 1, 4, id=task_id, error={"code": "x"}, attempts=[first]),
        record(Status.RUNNING, 2, 1, id=task_id, started_at=begun, worker="w2"),
        record(
            Status.SUCCESS,
            2,
            5,
            id=task_id,
            result={"sum": 1},
            finished_at=over,
            worker="w2",
            attempts=[second],
        ),
    ]


async def test_a_life_told_in_order_is_read_as_it_was(history: SQLHistory) -> None:
    task_id = str(uuid_utils.uuid7())
    for part in life(task_id):
        await history.record([part])

    found = await history.get(task_id)

    assert found is not None
    assert (found.status, found.attempt, found.result) == (Status.SUCCESS, 2, {"sum": 1})
    assert (found.name, found.payload, found.worker) == ("名字", {"numbers": [1]}, "w2")
    assert (found.created_at, found.started_at) == (CREATED, CREATED + timedelta(seconds=1))
    assert found.error is None
    first, second = await history.attempts(task_id)
    assert (first.events, first.error) == ([{"n": 1}, {"n": 2}], {"code": "x"})
    assert second.outputs == [{"index": 0, "output": "😀"}]


AWKWARD = """it's "quoted" \\' \\\\ %s %(x)s ; -- \n\r\t\x1a 任务 😀"""


async def test_any_text_comes_back_as_it_was(history: SQLHistory) -> None:
    attempt = AttemptRecord(1, AWKWARD, [{"message": AWKWARD}], [{"index": 0, "output": AWKWARD}])
    records = [
        record(Status.SUCCESS, 1, 2, name=text, payload={text: text}, result=text)
        for text in (AWKWARD, "\\", "'", "\0", "%")
    ]
    records[0].attempts = [attempt]

    await history.record(records)

    for expected in records:
        found = await history.get(expected.id)
        assert found is not None
        assert (found.name, found.payload, found.result) == (
            expected.name,
            expected.payload,
            expected.result,
        )
    assert await history.attempts(records[0].id) == [attempt]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
async def test_order_and_repetition_make_no_difference(
    history: SQLHistory, data: st.DataObject
) -> None:
    task_id = str(uuid_utils.uuid7())
    parts = life(task_id)
    order = data.draw(st.permutations(range(len(parts))))
    repeated = data.draw(st.lists(st.sampled_from(range(len(parts))), max_size=4))
    batch_size = data.draw(st.integers(1, 4))
    told = [parts[number] for number in (*order, *repeated)]

    for start in range(0, len(told), batch_size):
        await history.record(told[start : start + batch_size])

    expected = replace(merge(parts)[0], attempts=[])
    assert await history.get(task_id) == expected
    assert [item.attempt for item in await history.attempts(task_id)] == [1, 2]


async def test_an_end_is_final(history: SQLHistory) -> None:
    task_id = str(uuid_utils.uuid7())
    await history.record([record(Status.SUCCESS, 1, 3, id=task_id, result="first")])

    await history.record([record(Status.FAILURE, 2, 3, id=task_id, result="second")])
    await history.record([record(Status.RUNNING, 9, 9, id=task_id)])

    found = await history.get(task_id)
    assert found is not None
    assert (found.status, found.result, found.attempt) == (Status.SUCCESS, "first", 1)
    assert await history.unfinished() == []


async def test_the_fuller_document_of_an_attempt_stays(history: SQLHistory) -> None:
    task_id = str(uuid_utils.uuid7())
    full = AttemptRecord(1, "w", [{"n": 1}, {"n": 2}], [])
    sparse = AttemptRecord(1, "w", [{"n": 1}], [])
    for item in (full, sparse):
        await history.record([record(Status.RUNNING, 1, 1, id=task_id, attempts=[item])])

    (kept,) = await history.attempts(task_id)
    assert kept.events == full.events


async def test_pages_are_newest_first_and_stable_under_inserts(history: SQLHistory) -> None:
    ids = [str(uuid_utils.uuid7()) for _ in range(5)]
    await history.record([record(id=task_id) for task_id in ids])

    first = await history.list_tasks(TaskFilter(), limit=2)
    await history.record([record()])
    second = await history.list_tasks(TaskFilter(), after=first.next, limit=2)
    third = await history.list_tasks(TaskFilter(), after=second.next, limit=2)

    seen = [task.id for page in (first, second, third) for task in page.tasks]
    assert seen == sorted(ids, reverse=True)
    assert (first.total, third.next) == (5, None)


async def test_filters(history: SQLHistory) -> None:
    begun = now()
    good = record(
        Status.SUCCESS,
        1,
        1,
        created_at=begun,
        name="50%_off\\ 中文 🚀",
        type="email",
        queue="email_tasks",
    )
    other = record(Status.FAILURE, 1, 1, created_at=begun, name="50 more")
    late = record(created_at=begun + timedelta(days=1))
    await history.record([good, other, late])

    async def found(**where: Any) -> set[str]:
        return {task.id for task in (await history.list_tasks(TaskFilter(**where))).tasks}

    assert await found(status=Status.SUCCESS) == {good.id}
    assert await found(type="email", queue="email_tasks") == {good.id}
    assert await found(text="50%_off\\ 中文 🚀") == {good.id}
    assert await found(text="50%") == {good.id}
    assert await found(text="%") == set()
    assert await found(text=good.id[:30]) >= {good.id}
    assert await found(text="号") == set()
    assert await found(since=begun, until=begun + timedelta(seconds=1)) == {good.id, other.id}
    assert await found(until=begun) == set()


async def test_the_total_is_capped(history: SQLHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LIST_CAP", 3)
    await history.record([record() for _ in range(4)])

    page = await history.list_tasks(TaskFilter(), limit=1)

    assert (page.total, page.total_capped) == (3, True)


async def test_what_matches_by_name_and_by_id_is_counted_once(history: SQLHistory) -> None:
    both = record(id=str(uuid_utils.uuid7()))
    both = replace(both, name=both.id)
    named = record(name=f"{both.id} again")
    await history.record([both, named, record(name="another")])

    page = await history.list_tasks(TaskFilter(text=both.id), limit=1)

    assert (page.total, page.total_capped) == (2, False)
    rest = await history.list_tasks(TaskFilter(text=both.id), after=page.next)
    assert {task.id for task in (*page.tasks, *rest.tasks)} == {both.id, named.id}


async def test_what_has_not_ended_is_found_page_by_page(history: SQLHistory) -> None:
    waiting = sorted(str(uuid_utils.uuid7()) for _ in range(3))
    await history.record([record(id=task_id, payload={"a": 1}) for task_id in waiting])
    await history.record([record(Status.SUCCESS, 1, 1)])

    first = await history.unfinished(limit=2)
    second = await history.unfinished(limit=2, after=first[-1])

    assert [task.id for task in (*first, *second)] == waiting
    assert first[0].payload == {"a": 1}


@pytest.mark.parametrize(
    "where",
    [
        TaskFilter(),
        TaskFilter(status=Status.FAILURE),
        TaskFilter(type="quick"),
        TaskFilter(queue="quick_tasks"),
        TaskFilter(since=CREATED, until=CREATED),
        TaskFilter(text="name"),
    ],
    ids=["all", "status", "type", "queue", "time", "text"],
)
async def test_no_list_reads_the_whole_table(history: SQLHistory, where: TaskFilter) -> None:
    await history.record([record(name=f"n{number}") for number in range(300)])
    statement = reading.page_statement(where, None, 50)
    engine = history._engine
    compiled = statement.compile(engine.sync_engine, compile_kwargs={"literal_binds": True})
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
            steps = [row.detail for row in plan if " tasks" in row.detail]
            assert steps
            assert all("USING" in step for step in steps if step.startswith("SCAN")), steps
        else:
            await connection.execute(text("ANALYZE TABLE tasks"))
            plan = await connection.execute(text(f"EXPLAIN {compiled}"))
            rows = [row for row in plan.mappings() if row["table"] == "tasks"]
            assert rows
            assert all(row["key"] for row in rows), rows
            assert all(row["type"] != "ALL" for row in rows), rows


async def test_dead_letters_are_kept_once_and_paged(history: SQLHistory) -> None:
    letters = [
        DeadLetterRecord(
            id=f"letter-{number}",
            reason="undecodable",
            queue="quick_tasks",
            body=b"\x00\xff rubbish",
            died_at=CREATED + timedelta(seconds=number // 2),
            error={"code": "undecodable"},
        )
        for number in range(5)
    ]
    await history.add_dead_letters(letters)
    await history.add_dead_letters([replace(letters[0], reason="another")])

    first = await history.dead_letters(limit=3)
    second = await history.dead_letters(limit=3, after=first[-1].id)

    assert [item.id for item in (*first, *second)] == [f"letter-{n}" for n in (4, 3, 2, 1, 0)]
    assert second[-1] == letters[0]


async def test_a_fresh_database_has_the_demonstration_s_users(history: SQLHistory) -> None:
    assert [user.id for user in await history.list_users()] == [1, 2, 3, 101, 102, 103, 104, 105]
    assert await history.count_users() == 8


async def test_users_are_unique_whatever_their_case(history: SQLHistory) -> None:
    new = await history.create_user("Zoë", "zoe@example.com")
    assert new.id > 105

    with pytest.raises(UserConflict, match="username"):
        await history.create_user("ALICE", "other@example.com")
    with pytest.raises(UserConflict, match="email"):
        await history.create_user("someone", "ZOE@example.com")
    with pytest.raises(UserConflict, match="email"):
        await history.update_user(1, email="bob@EXAMPLE.com")

    changed = await history.update_user(new.id, email="zoe@company.com")
    assert changed is not None
    assert (changed.username, changed.email) == ("Zoë", "zoe@company.com")
    assert await history.update_user(99_999, username="nobody") is None
    assert await history.delete_user(new.id) is True
    assert await history.delete_user(new.id) is False
    assert await history.get_users([1, new.id, 1]) == {
        1: (await history.list_users(limit=1))[0],
    }


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Émile", "éMILE", True),
        ("Zo\u00eb", "Zoe\u0308", True),  # composed, and decomposed
        ("straße", "STRASSE", True),
        ("Ａnna", "anna", True),  # full width
        ("René", "Rene", False),
        ("Ørsted", "Orsted", False),
        ("x" * 50, "x" * 49, False),
        ("\ufdfa" * 50, "\ufdfa" * 49, False),  # each as long as eighteen letters, folded
    ],
)
async def test_both_databases_agree_on_who_has_one_s_name(
    history: SQLHistory, one: str, other: str, *, same: bool
) -> None:
    await history.create_user(one, "one@example.com")

    if not same:
        await history.create_user(other, "other@example.com")
        return
    with pytest.raises(UserConflict, match="username"):
        await history.create_user(other, "other@example.com")


async def test_the_models_and_the_migrations_agree(history: SQLHistory) -> None:
    def differences(connection: Any) -> list[Any]:
        context = MigrationContext.configure(connection)
        return list(compare_metadata(context, SQLModel.metadata))

    async with history._engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_twice_is_fine(history: SQLHistory) -> None:
    await migrate_engine(history._engine)
    await history.check()


async def test_a_database_without_our_tables_is_told_how_to_get_them(url: str) -> None:
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite+aiosqlite:///")).parent.mkdir(parents=True)
    with pytest.raises(HistoryUnavailable, match=r"\./task migrate"):
        await open_history(url)


@pytest.mark.services
async def test_a_value_that_does_not_fit_is_a_rejection(mysql_database: str) -> None:
    history = await open_history(mysql_database, migrate=True)

    with pytest.raises(HistoryRejected):
        await history.record([record(name="x" * 300)])

    await history.close()


async def test_a_database_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(HistoryUnavailable, match="does not answer"):
        await open_history("mysql+aiomysql://root@127.0.0.1:1/stepline")
