"""Places that are taken several at a time."""

from __future__ import annotations

import asyncio

from workers.places import Places


class Crowd:
    """Who has got places, in their order."""

    def __init__(self, count: int) -> None:
        self.places = Places(count)
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, wanted: int, *, first: bool = False) -> None:
        self._leave[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._stay(name, wanted, first))
        await asyncio.sleep(0)

    async def _stay(self, name: str, wanted: int, first: bool) -> None:
        async with self.places.taken(wanted, first=first):
            self.inside.append(name)
            await self._leave[name].wait()
            self.inside.remove(name)

    async def go(self, name: str) -> None:
        self._leave[name].set()
        await self._tasks[name]
        await asyncio.sleep(0)

    async def give_up(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)
        await asyncio.sleep(0)


async def test_who_fits_gets_in_and_who_does_not_waits() -> None:
    crowd = Crowd(10)
    await crowd.come("a", 6)
    await crowd.come("b", 4)
    await crowd.come("c", 1)
    assert crowd.inside == ["a", "b"]

    await crowd.go("b")
    assert crowd.inside == ["a", "c"]


async def test_a_small_one_does_not_pass_a_large_one_that_waits() -> None:
    crowd = Crowd(10)
    await crowd.come("a", 6)
    await crowd.come("large", 8)
    await crowd.come("small", 1)
    assert crowd.inside == ["a"]

    await crowd.go("a")
    assert crowd.inside == ["large", "small"]


async def test_who_comes_first_passes_those_that_wait_and_waits_for_a_place_itself() -> None:
    crowd = Crowd(10)
    await crowd.come("a", 6)
    await crowd.come("large", 8)
    await crowd.come("passes", 4, first=True)
    await crowd.come("next", 1, first=True)
    assert crowd.inside == ["a", "passes"]

    await crowd.go("passes")
    assert crowd.inside == ["a", "next"]


async def test_who_wants_more_than_there_are_gets_all_of_them() -> None:
    crowd = Crowd(4)
    await crowd.come("greedy", 9)
    assert crowd.inside == ["greedy"]
    await crowd.come("next", 1)
    assert crowd.inside == ["greedy"]
    await crowd.go("greedy")
    assert crowd.inside == ["next"]


async def test_who_gives_up_waiting_leaves_its_place_in_the_line() -> None:
    crowd = Crowd(4)
    await crowd.come("a", 3)
    await crowd.come("b", 2)
    await crowd.come("c", 1)
    await crowd.give_up("b")
    assert crowd.inside == ["a", "c"]


async def test_who_gives_up_in_the_moment_of_its_turn_loses_no_place() -> None:
    crowd = Crowd(1)
    await crowd.come("a", 1)
    await crowd.come("b", 1)
    crowd._leave["a"].set()
    await asyncio.sleep(0)  # a is leaving: b has its turn, and has not run
    await crowd.give_up("b")
    await crowd.come("c", 1)
    assert crowd.inside == ["c"]
