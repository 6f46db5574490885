"""Waiting for a thing, instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY = 0.02


async def wait_for(look: Callable[[], T | Awaitable[T]], timeout: float = 10.0) -> T:
    """Look until what is seen is truthy, and return it. Fails with what was seen last."""
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if inspect.isawaitable(seen):
            seen = await seen
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s; last seen: {seen!r}")
        await asyncio.sleep(LOOK_EVERY)
