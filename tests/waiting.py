"""Waiting for a thing, instead of for a time."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY = 0.02

PATIENCE = 240.0 if os.environ.get("STEPLINE_FAULTS") == "long" else 100.0
"""Seconds to wait for what must come, where how soon is not the question: the machine may be busy
with other things. Less than a test's own limit, so that the message says what did not come."""


def here(seconds: float) -> float:
    """What is promised for a quiet machine, as this one can keep it now: longer by as much as more
    wants to run than there are cores."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


async def wait_for(look: Callable[[], T | Awaitable[T]], timeout: float = 30.0) -> T:
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
