"""One worker process: consume, keep to the concurrency, run in tasks of its own, drain at the end.

A delivery is handed over by the consume callback and never runs inside it: a lost connection
cancels callbacks, and must not cancel handlers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import structlog

from infra.broker.base import BrokerError, Delivery, StaleDelivery, Subscription
from infra.broker.topology import HISTORY_QUEUE
from infra.state.redis import StateUnavailable
from workers.engine import Engine
from workers.processor import Processor
from workers.recorder import Recorder
from workers.watchdog import LoopWatchdog

REPORT_EVERY = 0.2
REPORT_ANYHOW = 5
"""Rounds after which what is held is told again, changed or not."""
AFTER_ERROR = 1.0
"""Seconds before a delivery goes back whose processing itself broke."""

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
        self.processor = Processor(engine)
        self._recorder = Recorder(engine, state_ttl=state_ttl) if HISTORY_QUEUE in queues else None
        self._subscriptions: list[Subscription] = []
        self._slots = {queue: asyncio.Semaphore(limits.concurrency) for queue in self._queues}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reporter: asyncio.Task[None] | None = None
        self._watchdog = LoopWatchdog(self._steps, engine.metrics.loop_blocked.inc)
        engine.metrics.watch_running(self._running_by_queue)
        self._done = 0
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
        for queue in self._queues:
            self._subscriptions.append(
                await self._engine.broker.consume(
                    queue, self._receive, prefetch=self._limits.prefetch
                )
            )
        self._reporter = asyncio.create_task(self._report(), name="report-active")
        log.info("worker_started", worker=self._engine.worker, queues=self._queues)

    async def stop(self) -> None:
        """Drain: take nothing new, give unstarted messages back, let running steps have the grace
        time, then hand over what is left."""
        log.info("worker_stopping", running=len(self.processor.holding.tasks))
        for subscription in self._subscriptions:
            await subscription.cancel()
        self.processor.draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._limits.grace)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10.0)
        for subscription in self._subscriptions:
            await subscription.close()
        if self._recorder is not None:
            await self._recorder.stop()
        if self._reporter is not None:
            self._reporter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reporter
        self._watchdog.stop()
        log.info("worker_stopped", done=self._done)

    def _receive(self, delivery: Delivery) -> None:
        if self.processor.holding.adopt(delivery):
            return
        task = asyncio.create_task(self._work(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, delivery: Delivery) -> None:
        started = False
        try:
            async with self._slots[delivery.queue]:
                started = True
                if self.processor.draining:
                    await delivery.release()
                    return
                await self.processor.process(delivery)
                self._count()
        except asyncio.CancelledError:
            if not started:
                with contextlib.suppress(StaleDelivery):
                    await delivery.release()
        except StaleDelivery:
            log.info("delivery_stale", queue=delivery.queue)
        except Exception:
            log.exception("delivery_failed", queue=delivery.queue)
            with contextlib.suppress(BrokerError):  # the processor may have released it
                await delivery.release()
            await asyncio.sleep(AFTER_ERROR)  # with its slot: a message that breaks us is no storm

    def _count(self) -> None:
        self._done += 1
        if self._limits.max_tasks and self._done >= self._limits.max_tasks:
            self.full.set()

    async def _report(self) -> None:
        """See to what runs, and tell the state what is held: at once when it has changed, and now
        and then, since Redis may forget."""
        told: dict[str, datetime] = {}
        rounds = 0
        while True:
            await self.processor.holding.tend()
            rounds += 1
            if rounds % REPORT_ANYHOW == 0:
                told = {}
            active = {task_id: item.since for task_id, item in self.processor.holding.tasks.items()}
            if active != told:
                with contextlib.suppress(StateUnavailable):  # the next round tells it again
                    await self._engine.workers.report(self._engine.worker, active)
                    told = active
            await asyncio.sleep(REPORT_EVERY)

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
