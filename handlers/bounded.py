"""Many waits at once, but no more than so many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def for_each(
    items: Iterable[T],
    work: Callable[[T], Awaitable[R]],
    done: Callable[[T, R], Awaitable[None]],
    *,
    limit: int,
) -> None:
    """Run `work` on every item, `limit` at a time; `done` takes each result, one after the other.

    The first error ends it all and is raised as it is (no group around it: the engine reads
    its kind).
    """
    waiting = iter(items)
    one_at_a_time = asyncio.Lock()

    async def take() -> None:
        for item in waiting:
            result = await work(item)
            async with one_at_a_time:
                await done(item, result)

    takers = [asyncio.create_task(take()) for _ in range(limit)]
    try:
        await asyncio.gather(*takers)
    finally:
        for taker in takers:
            taker.cancel()
        await asyncio.gather(*takers, return_exceptions=True)
