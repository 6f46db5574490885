"""`long`: the demonstration of work that takes its time, and loses none of it when interrupted."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from stepline.authoring import Context, handler, task_type
from stepline.contract import LongRequest

ITEMS_PER_SECOND = 100
"""Blocks hashed each second: real work, yet little enough for hundreds of such tasks at once."""

_BLOCK_BYTES = 1_024
_TIMEOUT = 2 * 86_400.0
"""A day is the longest duration; catching up after a pause must not run into the timeout."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only go forward, and how to wait for some."""

    now: Callable[[], float] = time.monotonic
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True)
class _State:
    """Where the work is: what a later attempt needs to go on from here."""

    second: int = 0
    items: int = 0
    digest: str = ""
    elapsed: float = 0.0

    def dump(self) -> dict[str, Any]:
        return {
            "second": self.second,
            "items": self.items,
            "digest": self.digest,
            "elapsed": self.elapsed,
        }


@handler(timeout=_TIMEOUT)
async def long(ctx: Context, payload: LongRequest) -> dict[str, Any]:
    """Hash blocks for `duration` seconds, and tell each second how far it is.

    The digest chains block to block, so it depends on the number of blocks alone: an interrupted
    run that was resumed rightly ends with the digest of one that was not.
    """
    return await run(ctx, payload.duration, Clock())


async def run(ctx: Context, duration: int, clock: Clock) -> dict[str, Any]:
    """The work of `long` by any clock."""
    state = _State(**ctx.saved) if ctx.saved else _State()
    first, before, began = state.second, state.elapsed, clock.now()
    for second in range(first + 1, duration + 1):
        state.digest = hash_blocks(state.digest, state.items, ITEMS_PER_SECOND)
        state.items += ITEMS_PER_SECOND
        # Each second ends at its own distance from the start: lateness does not add up.
        # A loop's timer may be a millisecond early.
        while (rest := began + (second - first) - clock.now()) > 0:
            await clock.wait(rest)
        state.second, state.elapsed = second, before + clock.now() - began
        await ctx.save(state.dump())
        await ctx.progress(second, duration, f"second {second} of {duration}")
    return {
        "status": "completed",
        "processed_items": state.items,
        "execution_time": round(state.elapsed, 3),
        "result_data": {
            "duration": duration,
            "items_per_second": ITEMS_PER_SECOND,
            "block_bytes": _BLOCK_BYTES,
            "algorithm": "sha256",
            "digest": state.digest,
        },
    }


def hash_blocks(digest: str, start: int, count: int) -> str:
    """Chain `count` blocks, numbered from `start`, onto `digest`."""
    for number in range(start, start + count):
        block = f"{digest}:{number}:".encode().ljust(_BLOCK_BYTES, b"\0")
        digest = hashlib.sha256(block).hexdigest()
    return digest


LONG = task_type(
    "long",
    payload=LongRequest,
    handlers=[long],
    queue="long_tasks",
    timeout=_TIMEOUT,
    description="Long work, shown second by second.",
)
