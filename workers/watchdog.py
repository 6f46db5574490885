"""Notices a blocked event loop, and names the handlers that may be to blame."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

TICK = 0.25
BLOCKED_AFTER = 1.0
SHOWN = 8
"""Steps that a complaint names, at most."""

log = structlog.get_logger(__name__)


class LoopWatchdog:
    """The loop ticks; a thread complains when the tick is more than a second late."""

    def __init__(self, steps: Callable[[], list[str]], blocked: Callable[[], None]) -> None:
        self._steps = steps
        self._blocked = blocked
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)
        self._last = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._tick()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._last = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _watch(self) -> None:
        complained = False
        while not self._stop.wait(TICK):
            late = time.monotonic() - self._last
            if late > BLOCKED_AFTER and not complained:
                self._blocked()
                steps = self._steps()
                log.warning(
                    "loop_blocked", seconds=round(late, 2), running=len(steps), steps=steps[:SHOWN]
                )
            complained = late > BLOCKED_AFTER
