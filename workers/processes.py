"""Worker processes: one, or several under a small supervisor.

Not in `__main__`: a child finds what it is to run by the name of its module, and it does not
import a package's `__main__`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import structlog
import uvloop
from stepline.errors import SteplineError

from handlers.registry import Registry
from infra.leaving import leave
from infra.logging import configure_logging
from infra.settings import Settings
from workers.app import run_worker

LOOK_EVERY = 0.2
RESTART_PAUSE = 1.0
"""Seconds between two starts of one process, so that a broken setting does not spin."""

log = structlog.get_logger(__name__)


def run(settings: Settings, registry: Callable[[], Registry] | None = None) -> int:
    """As many processes as the settings say, until SIGTERM or SIGINT. `registry`, a function of a
    module, is called in each of them; without it they know the built-in types."""
    if settings.worker_processes == 1 and not settings.worker_max_tasks:
        return serve(settings, registry() if registry else None)
    return Supervisor(settings, registry).run()


def serve(settings: Settings, registry: Registry | None = None) -> int:
    """One worker process, until SIGTERM or SIGINT. Without a registry: the built-in types."""
    configure_logging(settings)

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_worker(settings, stop, registry)

    uvloop.run(work())
    return 0


class Supervisor:
    """Keeps a number of worker processes running, and replaces those that end."""

    def __init__(self, settings: Settings, registry: Callable[[], Registry] | None = None) -> None:
        """As `run`."""
        self._settings = settings
        self._registry = registry
        self._context = multiprocessing.get_context("spawn")
        self._children: list[BaseProcess | None] = [None] * settings.worker_processes
        self._started = [0.0] * settings.worker_processes
        self._stopping = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            self._look()
            time.sleep(LOOK_EVERY)
        for child in self._children:
            if child is not None and child.is_alive():
                child.terminate()
        for child in self._children:
            if child is not None:
                child.join()
        return 0

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _look(self) -> None:
        for place, child in enumerate(self._children):
            if child is not None and child.is_alive():
                continue
            if child is not None:
                child.join()
                told = log.warning if child.exitcode else log.info
                told("worker_ended", pid=child.pid, exit_code=child.exitcode)
                self._children[place] = None
            if time.monotonic() - self._started[place] < RESTART_PAUSE:
                continue
            self._started[place] = time.monotonic()
            fresh = self._context.Process(target=_child, args=(self._settings, self._registry))
            fresh.start()
            self._children[place] = fresh


def refused(error: SteplineError) -> int:
    """Say why there is no worker; the exit code for it."""
    print(f"stepline worker: {error}", file=sys.stderr)  # noqa: T201
    return 2


def _child(settings: Settings, registry: Callable[[], Registry] | None) -> None:
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        leave(serve(settings, registry() if registry else None))
    except SteplineError as error:
        leave(refused(error))


def _leave_with_parent() -> None:
    """A supervisor that was killed cannot end its workers, and whoever starts another one gets new
    workers with it."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
