"""`python -m workers`: one worker process, or several under a small supervisor."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import sys
import time
from multiprocessing.process import BaseProcess

import structlog
import uvloop
from stepline.errors import SteplineError

from handlers.registry import Registry
from infra.leaving import leave
from infra.logging import configure_logging
from infra.settings import Settings, load_settings
from workers.app import run_worker

LOOK_EVERY = 0.2
RESTART_PAUSE = 1.0
"""Seconds between two starts of one process, so that a broken setting does not spin."""

log = structlog.get_logger(__name__)


def main() -> int:
    try:
        settings = load_settings()
        settings.require_shared("./task worker")
        configure_logging(settings)
        if settings.worker_processes == 1 and not settings.worker_max_tasks:
            return serve(settings)
        return Supervisor(settings).run()
    except SteplineError as error:
        print(f"stepline worker: {error}", file=sys.stderr)  # noqa: T201
        return 2


def serve(settings: Settings, registry: Registry | None = None) -> int:
    """One worker process, until SIGTERM or SIGINT. Without a registry: the built-in types."""
    configure_logging(settings)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_worker(settings, stop, registry)

    uvloop.run(run())
    return 0


class Supervisor:
    """Keeps a number of worker processes running, and replaces those that end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
                log.info("worker_ended", pid=child.pid, exit_code=child.exitcode)
            if time.monotonic() - self._started[place] < RESTART_PAUSE:
                continue
            self._started[place] = time.monotonic()
            fresh = self._context.Process(target=_child, args=(self._settings,))
            fresh.start()
            self._children[place] = fresh


def _child(settings: Settings) -> None:
    leave(serve(settings))


if __name__ == "__main__":
    leave(main())
