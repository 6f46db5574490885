"""Work on big payloads goes to a thread, in chunks, so that the event loop stays free."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from stepline.authoring import Context

T = TypeVar("T")

LARGE: Final = 500
"""JSON values from which on work takes long enough (some milliseconds) to pay for a thread."""
TEXT_PER_VALUE: Final = 200
"""Characters of text that weigh as much as one more value."""
CHUNK: Final = 100
"""Records that one turn in the thread works on, some 10 ms. The loop is sure to run in between: a
library that lets go of the interpreter lock for each tiny match, as re2 and regex do, keeps it from
ever timing out of its wait for that lock. It is also as far as a cancelled step goes on."""
PROGRESS: Final = 1_000
"""Records between two reports of progress."""


async def in_thread_if_large(
    work: Callable[[], T], payload: Any, *, libraries: Sequence[str] = (), large: int = LARGE
) -> T:
    """What `work()` returns, run in a thread when `payload` weighs `large` values or more.

    `libraries` names modules that the work imports lazily: importing them takes up to half a
    second, so until they are all loaded the work goes to a thread whatever its size. The work must
    be pure: a thread cannot be cancelled, it merely is no longer waited for.
    """
    if weighs(payload, large) or any(name not in sys.modules for name in libraries):
        return await asyncio.to_thread(work)
    return work()


async def by_chunks(
    ctx: Context,
    payload: Any,
    work: Callable[[list[Any], int], T],
    *,
    libraries: Sequence[str] = (),
    chunk: int = CHUNK,
) -> list[T]:
    """`work(records, index of the first)` for each chunk of a list payload, in order.

    A single object is one chunk of one record. Lists of more than 1,000 records report progress.
    """
    records = payload if isinstance(payload, list) else [payload]
    large = 0 if weighs(payload, LARGE) else LARGE
    results: list[T] = []
    for start in range(0, len(records), chunk):
        part = records[start : start + chunk]

        def run(part: list[Any] = part, start: int = start) -> T:
            return work(part, start)

        results.append(await in_thread_if_large(run, part, libraries=libraries, large=large))
        done = start + len(part)
        if len(records) > PROGRESS and (done % PROGRESS < chunk or done == len(records)):
            await ctx.progress(done, len(records), f"{done} of {len(records)} records")
    return results


def weighs(payload: Any, limit: int) -> bool:
    """Whether `payload` holds `limit` JSON values or more; looks at no more than it must."""
    seen = 0
    waiting = [payload]
    while waiting:
        node = waiting.pop()
        seen += 1
        if isinstance(node, str):
            seen += len(node) // TEXT_PER_VALUE
        elif isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
        if seen + len(waiting) >= limit:
            return True
    return False
