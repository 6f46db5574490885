"""kill -9 at an exact place: armed by a file, taken by the first process that comes by.

The places are put around the product's own methods, from outside: the product knows nothing of it.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

Where = Callable[..., bool]
"""Sees the call (after it: its answer as the keyword `answer`); True if this is the place."""


def always(*_: Any, **__: Any) -> bool:
    return True


class CrashPoints:
    """The places of one process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def around(
        self,
        owner: Any,
        method: str,
        *,
        before: str = "",
        after: str = "",
        where: Where = always,
        seen: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        """Die before or after calls of a coroutine method. `seen` is told of every call's answer.
        May be used several times on one method."""
        original = getattr(owner, method)

        @functools.wraps(original)
        async def call(*args: Any, **kwargs: Any) -> Any:
            if before and where(*args, answer=None, **kwargs):
                self._pass(before)
            answer = await original(*args, **kwargs)
            seen(*args, answer=answer, **kwargs)
            if after and where(*args, answer=answer, **kwargs):
                self._pass(after)
            return answer

        setattr(owner, method, call)

    def _pass(self, point: str) -> None:
        try:
            armed(self._folder, point).unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def armed(folder: Path, point: str) -> Path:
    return folder / f"crash.{point}"


def arm(folder: Path, point: str) -> Path:
    """One process will die at `point`, once. The file that this makes is gone when it has."""
    path = armed(folder, point)
    path.touch()
    return path
