"""Whether a request that failed is made again, and when: a decision without side effects."""

from __future__ import annotations

import random

import httpx2

from stepline.contract import ProblemCode
from stepline.errors import ClientError, Conflict, ConnectionFailed, Unavailable

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds, before the jitter."""

NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def pause_before_repeat(
    failure: ClientError, *, repeatable: bool, tries: int, left: float
) -> float | None:
    """Seconds to wait before request `tries` + 1; None: do not repeat it, raise `failure`.

    `repeatable`: doing it twice does no more than doing it once (a read, or a submission with its
    key). `left`: the seconds that the caller's patience still lasts.
    """
    if not (_did_nothing(failure) or (repeatable and _may_pass(failure))):
        return None
    pause = backoff(tries)
    named = getattr(failure, "retry_after", None)
    if named is not None:
        pause = max(pause, named * (1 + random.random() / 4))  # not all at the same moment
    return pause if pause <= left else None


def backoff(tries: int) -> float:
    """A pause with jitter, twice as long after each failure: between half of it and all of it."""
    whole = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 30))
    return whole * (0.5 + random.random() / 2)


def _did_nothing(failure: ClientError) -> bool:
    """Is it certain that the server did nothing?"""
    if isinstance(failure, ConnectionFailed):
        return isinstance(failure.__cause__, NEVER_SENT)
    return isinstance(failure, Unavailable) and failure.status == 429


def _may_pass(failure: ClientError) -> bool:
    if isinstance(failure, Conflict):  # with an earlier try of this very request
        return failure.code == ProblemCode.IDEMPOTENCY_CONFLICT
    return isinstance(failure, ConnectionFailed | Unavailable)
