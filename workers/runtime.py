"""One worker process: take from its queues while nobody has ordered otherwise, drain at the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import structlog

from infra.broker.base import Delivery
from infra.broker.topology import HISTORY_QUEUE
from infra.state.redis import StateUnavailable
from workers.controller import Controller
from workers.engine import Engine
from workers.intake import Intake
from workers.processor import Processor
from workers.recorder import Load, Recorder
from workers.watchdog import LoopWatchdog

REPORT_EVERY = 0.2
REPORT_ANYHOW = 5
"""Rounds after which what is held is told again, changed or not."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process takes on."""

    concurrency: int
    prefetch: int
    max_tasks: int = 0
    grace: float = 20.0


class Runtime:
    """Runs the work queues named, and the recorder if `history` is among them."""

    def __init__(self, engine: Engine, queues: Sequence[str], limits: Limits, state_ttl: int):
        self._engine = engine
        self._queues = [queue for queue in queues if queue != HISTORY_QUEUE]
        self._limits = limits
        self.processor = Processor(
            engine, limits.concurrency, spares_turns=lambda: self._recorder_is_late
        )
        self._recorder: Recorder | None = None
        if HISTORY_QUEUE in queues:
            self._recorder = Recorder(engine, state_ttl=state_ttl, load=self._load)
        self.intakes = [
            Intake(
                engine.broker,
                queue,
                self._process,
                self.processor.holding.adopt,
                concurrency=limits.concurrency,
                prefetch=limits.prefetch,
            )
            for queue in self._queues
        ]
        self._controller = Controller(engine.controls, engine.worker, self.intakes)
        self._reporter: asyncio.Task[None] | None = None
        self._watchdog = LoopWatchdog(self._steps, engine.metrics.loop_blocked.inc)
        engine.metrics.watch_running(self._running_by_queue)
        self.full = asyncio.Event()
        """Set when the process has done its `max_tasks` and wants to be replaced."""

    async def start(self) -> None:
        """Begin to consume. The recorder first: confirms may wait for it."""
        threads = self._limits.concurrency * max(1, len(self._queues))
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(threads, thread_name_prefix="handler")
        )
        self._watchdog.start()
        if self._recorder is not None:
            await self._recorder.start()
        await self._controller.start()
        self._reporter = asyncio.create_task(self._report(), name="report-active")
        log.info("worker_started", worker=self._engine.worker, queues=self._queues)

    async def stop(self) -> None:
        """Drain: take nothing new, give unstarted messages back, let running steps have the grace
        time, then hand over what is left."""
        log.info("worker_stopping", running=len(self.processor.holding.tasks))
        await self._controller.stop()
        self.processor.holding.draining = True
        await asyncio.gather(*(intake.close() for intake in self.intakes))
        if working := self._working():
            await asyncio.wait(working, timeout=self._limits.grace)
        for task in self._working():
            task.cancel()
        if working := self._working():
            await asyncio.wait(working, timeout=10.0)
        for intake in self.intakes:
            await intake.stop()
        if self._recorder is not None:
            await self._recorder.stop()
        if self._reporter is not None:
            self._reporter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reporter
        self._watchdog.stop()
        log.info("worker_stopped", done=self.processor.holding.done)

    def _working(self) -> set[asyncio.Task[None]]:
        return {task for intake in self.intakes for task in intake.working}

    async def _process(self, delivery: Delivery) -> None:
        if self.processor.holding.draining:
            await delivery.release()
            return
        await self.processor.process(delivery)
        self._look_if_full()

    @property
    def _recorder_is_late(self) -> bool:
        return self._recorder is not None and self._recorder.is_late

    def _load(self) -> Load:
        if self.processor.crowded:
            return "crowded"
        return "busy" if self.processor.holding.tasks else "idle"

    def _look_if_full(self) -> None:
        if self._limits.max_tasks and self.processor.holding.done >= self._limits.max_tasks:
            self.full.set()

    async def _report(self) -> None:
        """See to what runs, and tell the state what is held: at once when it has changed, and now
        and then, since Redis may forget."""
        told: dict[str, datetime] = {}
        rounds = 0
        while True:
            rounds += 1
            if rounds % REPORT_ANYHOW == 0:
                told = {}
            try:
                await self.processor.holding.tend()
                told = await self._tell_held(told)
            except StateUnavailable:  # the next round tells it again
                pass
            except Exception:  # the next round may go better, and there has to be one
                log.exception("report_failed")
            await asyncio.sleep(REPORT_EVERY)

    async def _tell_held(self, told: dict[str, datetime]) -> dict[str, datetime]:
        held = {task_id: item.since for task_id, item in self.processor.holding.tasks.items()}
        if held != told:
            await self._engine.workers.report(self._engine.worker, held)
        return held

    def _running_by_queue(self) -> dict[str, int]:
        held = list(self.processor.holding.tasks.values())
        return dict.fromkeys(self._queues, 0) | Counter(item.envelope.queue for item in held)

    def _steps(self) -> list[str]:
        """What runs now, for the watchdog's complaint."""
        return [
            f"{task_id}:{item.run.step}"
            for task_id, item in list(self.processor.holding.tasks.items())
            if item.run is not None
        ]
