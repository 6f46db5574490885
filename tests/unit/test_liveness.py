"""Who is taken for dead, by what Redis answers and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from infra.state import liveness
from infra.state.liveness import Workers
from infra.state.redis import Connections

HANGS = 0.5


@pytest.fixture
async def workers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workers]:
    for name, seconds in (("BEAT_EVERY", 0.1), ("DEAD_AFTER", 0.3), ("LOOK_EVERY", 0.02)):
        monkeypatch.setattr(liveness, name, seconds)
    workers = Workers(Connections("fake://"))
    yield workers
    await workers.close()


def answering(answers: Callable[[int], Awaitable[int]]) -> Callable[[Sequence[str]], object]:
    """In the place of `beats`: what `answers` says to the first question, the second and so on."""
    asked = 0

    async def beats(_names: Sequence[str]) -> list[int]:
        nonlocal asked
        asked += 1
        return [await answers(asked)]

    return beats


async def test_a_redis_that_hangs_makes_nobody_dead(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hung for everybody: the worker could not beat either, and does as soon as it can."""

    async def answer(asked: int) -> int:
        if asked == 3:
            await asyncio.sleep(HANGS)
        return 2 if asked > 6 else 1

    monkeypatch.setattr(workers, "beats", answering(answer))

    assert await workers.is_dead("worker@h:1") is False


async def test_one_that_stays_silent_after_it_is_dead(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(asked: int) -> int:
        if asked == 3:
            await asyncio.sleep(HANGS)
        return 1

    monkeypatch.setattr(workers, "beats", answering(answer))

    assert await workers.is_dead("worker@h:1") is True
