"""`batch`: each user by itself, missing ones named, nothing done twice after an interruption."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from stepline.authoring import UserRecord
from stepline.contract import BatchRequest

from handlers.batch import BATCH, batch, profile
from tests.unit.fakes import FakeContext


def user(number: int, name: str = "", mail: str = "") -> UserRecord:
    return UserRecord(
        id=number,
        username=name or f"user{number}",
        email=mail or f"user{number}@company.com",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class Table:
    """Users in memory; `asked` holds the ids of each query."""

    def __init__(self, *users: UserRecord) -> None:
        self._users = {item.id: item for item in users}
        self.asked: list[list[int]] = []

    async def get_many(self, ids: Sequence[int]) -> dict[int, UserRecord]:
        self.asked.append(list(ids))
        return {number: self._users[number] for number in ids if number in self._users}


async def run(ids: list[int], *users: UserRecord, saved: Any = None) -> tuple[Any, FakeContext]:
    ctx = FakeContext(users=Table(*users), saved=saved)
    return await batch(ctx, BatchRequest(user_ids=ids)), ctx


async def test_each_user_is_processed_in_the_order_asked_for() -> None:
    result, ctx = await run([102, 101], user(101), user(102))
    assert result["status"] == "completed"
    assert (result["total_requested"], result["successfully_processed"]) == (2, 2)
    assert result["missing_user_ids"] == []
    first = result["processed_users"][0]
    assert (first["user_id"], first["username"], first["email"]) == (
        102,
        "user102",
        "user102@company.com",
    )
    assert datetime.fromisoformat(first["processed_at"]).tzinfo is not None
    assert [(call.current, call.total) for call in ctx.progressed] == [(0, 2), (1, 2), (2, 2)]


async def test_ids_that_nobody_has_are_listed_and_stop_nothing() -> None:
    result, _ = await run([1, 404, 2, 405], user(1), user(2))
    assert result["missing_user_ids"] == [404, 405]
    assert (result["total_requested"], result["successfully_processed"]) == (4, 2)


async def test_an_id_given_twice_is_processed_once_and_told() -> None:
    result, _ = await run([1, 2, 1, 1], user(1), user(2))
    assert [item["user_id"] for item in result["processed_users"]] == [1, 2]
    assert (result["total_requested"], result["duplicate_user_ids"]) == (4, [1])


async def test_the_digest_is_of_what_users_compare_by() -> None:
    one = profile(user(1, "Ａlice", "Alice@EXAMPLE.com"))
    same = profile(user(1, "alice", "Alice@example.com"))
    other = profile(user(1, "alice", "alice@example.com"))
    assert one["username"] == "Ａlice", "what the user wrote stays as it is"
    assert one["profile_sha256"] == same["profile_sha256"] != other["profile_sha256"]


async def test_an_interrupted_run_goes_on_with_the_next_user() -> None:
    people = [user(number) for number in range(1, 6)]
    _, first = await run([1, 2, 3, 9, 5], *people)
    result, second = await run([1, 2, 3, 9, 5], *people, saved=first.saves[1])
    assert second.users.asked == [[3, 9, 5]]  # type: ignore[attr-defined]
    assert [item["user_id"] for item in result["processed_users"]] == [1, 2, 3, 5]
    assert result["missing_user_ids"] == [9]
    assert result["processed_users"][:2] == first.saves[1]["processed"]


async def test_a_large_batch_is_looked_up_and_saved_in_groups() -> None:
    people = [user(number) for number in range(1, 2_001)]
    result, ctx = await run([item.id for item in people], *people)
    assert result["successfully_processed"] == 2_000
    assert max(map(len, ctx.users.asked)) <= 500  # type: ignore[attr-defined]
    assert len(ctx.saves) <= 101
    assert ctx.saves[-1]["done"] == 2_000
    assert [len(save["processed"]) for save in ctx.saves] == [save["done"] for save in ctx.saves]


def test_it_goes_to_the_long_queue() -> None:
    assert BATCH.queue == "long_tasks"
