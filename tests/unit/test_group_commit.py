"""Group commit: what comes while others are under way goes together; nobody waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from infra.group_commit import GroupCommit, GroupLimits
from tests.waiting import wait_for

LIMITS = GroupLimits(most=4, heaviest=100, under_way=1)


class Log:
    """Commits that wait to be let through, one after the other."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gate = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def commit(self, items: Sequence[str]) -> None:
        self.groups.append(list(items))
        await self.gate.acquire()
        if self.failure is not None:
            raise self.failure

    async def begun(self, count: int) -> None:
        await wait_for(lambda: len(self.groups) == count)


def adding(group: GroupCommit[str], *items: str, weight: int = 1) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(group.add(item, weight)) for item in items]


async def test_what_comes_alone_leaves_at_once() -> None:
    log = Log()
    log.gate.release()

    await GroupCommit(log.commit, LIMITS).add("one")

    assert log.groups == [["one"]]


async def test_what_comes_while_a_group_is_under_way_goes_together() -> None:
    log = Log()
    group = GroupCommit(log.commit, LIMITS)
    first = adding(group, "a")
    await log.begun(1)
    later = adding(group, "b", "c", "d")
    await asyncio.sleep(0)
    assert log.groups == [["a"]]

    log.gate.release()
    await asyncio.gather(*first)
    await log.begun(2)
    assert not any(task.done() for task in later)
    log.gate.release()

    await asyncio.gather(*later)
    assert log.groups == [["a"], ["b", "c", "d"]]


async def test_a_group_is_bounded_by_count_and_by_weight() -> None:
    log = Log()
    group = GroupCommit(log.commit, LIMITS)
    items = adding(group, "1", "2", "3", "4", "5") + adding(group, "heavy", weight=1000)
    items += adding(group, "60", "70", weight=60)
    for _ in range(5):
        log.gate.release()

    await asyncio.gather(*items)

    assert log.groups == [["1", "2", "3", "4"], ["5"], ["heavy"], ["60"], ["70"]]


async def test_several_groups_may_be_under_way() -> None:
    log = Log()
    group = GroupCommit(log.commit, GroupLimits(most=1, heaviest=1, under_way=2))

    items = adding(group, "a", "b", "c")
    await log.begun(2)
    log.gate.release()
    await log.begun(3)
    log.gate.release()
    log.gate.release()

    await asyncio.gather(*items)


async def test_more_groups_may_be_under_way_as_long_as_they_are_full() -> None:
    log = Log()
    group = GroupCommit(
        log.commit, GroupLimits(most=2, heaviest=100, under_way=1, full_under_way=3)
    )

    items = adding(group, *"abcdefgh")
    await log.begun(3)
    assert [len(item) for item in log.groups] == [2, 2, 2]
    late = adding(group, "i")
    log.gate.release()
    await log.begun(4)
    for _ in range(2):  # one is left, which may get company until nothing else is under way
        log.gate.release()
    await wait_for(lambda: sum(item.done() for item in items) == 6)
    assert len(log.groups) == 4

    log.gate.release()
    await log.begun(5)
    log.gate.release()
    await asyncio.gather(*items, *late)
    assert log.groups == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"], ["i"]]


async def test_a_failure_is_its_own_group_s_and_no_other_s() -> None:
    log = Log()
    group = GroupCommit(log.commit, LIMITS)
    log.failure = ValueError("no")
    first = adding(group, "a", "b")
    await log.begun(1)
    log.gate.release()

    answers = await asyncio.gather(*first, return_exceptions=True)
    log.failure = None
    log.gate.release()
    await group.add("c")

    assert [str(answer) for answer in answers] == ["no", "no"]


async def test_a_caller_that_goes_away_leaves_its_item() -> None:
    log = Log()
    group = GroupCommit(log.commit, LIMITS)
    (gone, stays) = adding(group, "gone", "stays")
    await log.begun(1)

    gone.cancel()
    log.gate.release()

    await stays
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert log.groups == [["gone", "stays"]]


async def test_closing_waits_for_all_that_was_handed_in() -> None:
    log = Log()
    group = GroupCommit(log.commit, LIMITS)
    items = adding(group, *"abcdefgh")
    await log.begun(1)
    log.gate.release()
    log.gate.release()

    await group.close(5.0)

    assert log.groups == [list("abcd"), list("efgh")]
    assert all(task.done() for task in items)


async def test_what_is_dropped_is_waited_for_no_more() -> None:
    log = Log()
    group = GroupCommit(log.commit, LIMITS)
    items = adding(group, *"abcdefgh")
    await log.begun(1)

    await group.drop()

    answers = await asyncio.gather(*items, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 8
    assert log.groups == [list("abcd")]
