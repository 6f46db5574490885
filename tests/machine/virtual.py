"""A clock that stands still while anything is to be done, and jumps when everybody waits.

An hour of an engine's life takes as long as its work does, and happens the same way each time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import aiosqlite.core

EPOCH = 1_800_000_000.0
INSTANT = 1e-6
"""Seconds that a look at the wall clock takes: no two moments are the same."""


class Clock:
    """Seconds since the machine was switched on, and since 1970."""

    def __init__(self) -> None:
        self._elapsed = 0.0

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds

    def monotonic(self) -> float:
        return self._elapsed

    def wall(self) -> float:
        self._elapsed += INSTANT
        return EPOCH + self._elapsed


class _Skipping(selectors.DefaultSelector):
    """Instead of waiting, moves the clock."""

    clock: Clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing is going to happen")
        if not ready and timeout:
            self.clock.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that lives by a `Clock`. Threads have no place in it."""

    def __init__(self, clock: Clock) -> None:
        self._virtual = clock
        selector = _Skipping()
        selector.clock = clock
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual.monotonic()


class _Inline:
    """In the place of the queue to aiosqlite's thread: what is put in is done at once, here."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        try:
            result = function()
        except BaseException as error:
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)

    def get(self) -> tuple[None, Callable[[], Any]]:
        """The thread has nothing to do, ever."""
        return None, lambda: aiosqlite.core._STOP_RUNNING_SENTINEL


@contextmanager
def living_by(clock: Clock) -> Iterator[None]:
    """All of this process's Python lives by the clock, and its SQLite without threads."""

    def wall(tz: tzinfo | None = None) -> datetime:
        return datetime.fromtimestamp(clock.wall(), tz)

    replaced: Mapping[str, Any] = {
        "time.time": clock.wall,
        "time.monotonic": clock.monotonic,
        "infra.codec.datetime": SimpleNamespace(now=wall, fromisoformat=datetime.fromisoformat),
        "aiosqlite.core.SimpleQueue": _Inline,
    }
    patches = [patch(name, new) for name, new in replaced.items()]
    for item in patches:
        item.start()
    try:
        yield
    finally:
        for item in reversed(patches):
            item.stop()
