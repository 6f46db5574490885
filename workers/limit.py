"""A coroutine under a limit of time, which costs nothing where it never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LimitExceeded(Exception):
    """It took longer than it may."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in this task; after `seconds` it is cancelled. Raises `LimitExceeded`.

    The clock is set up when it waits for the first time: before that nothing could stop it. To set
    it up and take it down again takes longer than many a small step.
    """
    try:
        first = work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _go_on(work, first)
    except TimeoutError:
        if not limit.expired():
            raise
        raise LimitExceeded from None


@coroutine
def _go_on(work: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """The rest of a coroutine that has come to its first await."""
    while True:
        try:
            yield awaited
        except BaseException as error:  # it is the coroutine's, at the place where it waits
            try:
                awaited = work.throw(error)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
        else:
            result: T = yield from work
            return result
