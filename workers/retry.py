"""What a failing step means for its task: a pure decision that returns data."""

from __future__ import annotations

import asyncio
import concurrent.futures
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepline.authoring import RetryPolicy
from stepline.errors import Reject, Retry, SteplineError

from infra.logging import redact_text

TRACEBACK_LIMIT = 8_000

NOT_THE_HANDLERS = tuple(
    str(Path(file).parent) for file in (__file__, asyncio.__file__, concurrent.futures.__file__)
)


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step's failure: what becomes the task's `error`, and what the step showed all the same."""

    code: str
    message: str
    handler: str
    permanent: bool
    delay: float | None = None
    output: Any = None
    details: dict[str, Any] = field(default_factory=dict)

    def error(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "handler": self.handler,
            "details": self.details,
        }


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Another attempt, after `delay` seconds."""

    delay: float
    failure: StepFailure


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The task fails. `dead_letter`: its retries are used up, so the message is kept as well."""

    failure: StepFailure
    dead_letter: bool


def describe(error: Exception, handler: str) -> StepFailure:
    """Turn what a handler raised into a failure."""
    if isinstance(error, Reject):
        return StepFailure(
            error.code, error.message, handler, True, output=error.output, details=error.details
        )
    if isinstance(error, Retry):
        return StepFailure(
            error.code, error.message, handler, False, delay=error.delay, output=error.output
        )
    if isinstance(error, SteplineError):
        return StepFailure(error.code, error.message, handler, False)
    return StepFailure(
        "handler_error",
        redact_text(f"{type(error).__name__}: {error}"),
        handler,
        False,
        details={"type": type(error).__name__, "traceback": traceback_of(error)},
    )


def traceback_of(error: Exception) -> str:
    """For whoever mends the handler: from the handler's own frame on, without credentials, the
    last `TRACEBACK_LIMIT` characters."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    shown = traceback.TracebackException(type(error), error, frames or error.__traceback__)
    return redact_text("".join(shown.format()))[-TRACEBACK_LIMIT:]


def _is_ours(filename: str) -> bool:
    """A frame of the engine, or of the thread that a plain `def` handler runs in."""
    return filename.startswith(NOT_THE_HANDLERS)


def decide(
    failure: StepFailure,
    policy: RetryPolicy,
    *,
    failures: int,
    draw: Callable[[], float] = random.random,
) -> TryAgain | GiveUp:
    """Decide about the failure that is number `failures` (from 1) of its task.

    The wait is drawn evenly from 0 … min(cap, base · 2^(failures-1)); `draw` gives 0 ≤ x < 1.
    """
    if failure.permanent:
        return GiveUp(failure, dead_letter=False)
    if failures >= policy.attempts:
        return GiveUp(failure, dead_letter=True)
    if failure.delay is not None:
        return TryAgain(max(0.0, failure.delay), failure)
    ceiling = min(policy.cap, policy.base * 2.0 ** min(failures - 1, 60))
    return TryAgain(draw() * ceiling, failure)
