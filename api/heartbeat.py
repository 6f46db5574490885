"""The heart beat of all streams: one timer, not one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from api.wire import Wire

EVERY = 15.0
PARTS = 15
"""At each tick one part of the streams is beaten, so that ten thousand are not at once."""


class Heartbeat:
    """Beats each connection that it was given every `every` seconds."""

    def __init__(self, every: float = EVERY, parts: int = PARTS) -> None:
        self._tick = every / parts
        self._parts: list[set[Wire]] = [set() for _ in range(parts)]
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def beating(self, wire: Wire) -> Iterator[None]:
        part = self._parts[self._next - 1]  # the one that was beaten last
        part.add(wire)
        if self._timer is None:
            self._schedule()
        try:
            yield
        finally:
            part.discard(wire)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._beat)

    def _beat(self) -> None:
        part = self._parts[self._next]
        self._next = (self._next + 1) % len(self._parts)
        for wire in tuple(part):
            wire.beat()
        self._timer = None
        if any(self._parts):
            self._schedule()
