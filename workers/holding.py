"""What a process has in hand: its running tasks and their deliveries, from claim to ack."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from stepline.contract import Status

from infra.broker.base import Delivery
from infra.cancellation import Cancellation
from infra.codec import now
from infra.envelope import KIND as ENVELOPE
from infra.envelope import Envelope, TaskMessage, read_envelope
from infra.records import base_record
from infra.state.models import Yours
from infra.state.redis import StateUnavailable
from workers.chain import ChainRun
from workers.engine import Engine
from workers.patience import ack

RUNNING_AFTER = 0.5
"""Seconds after which history learns that a task is running."""

COMES_BACK_AFTER = 1.0
"""Seconds that the copy of a long task's message stays on the ladder."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Running:
    """A task that this process has in hand, and the deliveries to settle at its end."""

    envelope: Envelope
    task: TaskMessage
    since: datetime
    renewed_at: float
    """When its newest delivery came, by the loop's clock."""
    alone: bool = True
    """The only task of its message; those of a chunk are settled together, by others."""
    deliveries: list[Delivery] = field(default_factory=list)
    adopted: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    claim: Yours | None = None
    run: ChainRun | None = None
    runner: asyncio.Task[None] | None = None
    """Set while handlers run: what to cancel to stop them."""
    cancelled: Cancellation | None = None
    lost: bool = False
    renewing: bool = False
    told: bool = False
    handed_over: bool = False
    """It went on its way, or broke off: whoever has its message must let others have it."""

    def adopt(self, delivery: Delivery) -> None:
        """The broker gave the message again (its connection broke, or its copy comes back): the
        run goes on undisturbed, and settles this delivery too."""
        self.deliveries.append(delivery)
        self.renewed_at = asyncio.get_running_loop().time()
        self.adopted.set()

    def lose(self) -> None:
        """The task is another's now: its handlers have nothing to do here any more."""
        self.lost = True
        self._stop()

    def cancel(self, cancellation: Cancellation) -> None:
        """Stop its handlers, if any runs: the cause first, then the stop."""
        if self.cancelled is None:
            self.cancelled = cancellation
            self._stop()

    def _stop(self) -> None:
        if self.run is not None:
            self.run.stopped = True
        if self.runner is not None and self.runner is not asyncio.current_task():
            self.runner.cancel()


class Holding:
    """The running tasks of a process by id, and what has to be seen to while they run."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tasks: dict[str, Running] = {}
        self.done = 0
        """Tasks that were taken on, for good or bad."""
        self.draining = False
        """The process stops: what it has in hand goes to others."""

    def adopt(self, delivery: Delivery) -> bool:
        """Take a delivery of what runs here already. It needs no slot, and must not wait for one:
        a task that fills the last slot would wait for itself."""
        message = delivery.message
        running = self.tasks.get(message.correlation_id or "")
        if running is None or not running.alone or message.kind != ENVELOPE:
            return False
        if len(read_envelope(message).tasks) > 1:
            return False
        running.adopt(delivery)
        return True

    async def tend(self) -> None:
        """A round, some times a second: obey cancellations, renew old deliveries, tell history
        what runs. Raises nothing that a later round would not mend."""
        clock = asyncio.get_running_loop().time()
        moment = now()
        for running in list(self.tasks.values()):
            if running.claim is None:
                continue
            if not running.told and (moment - running.since).total_seconds() >= RUNNING_AFTER:
                self.tell(running)
            old = clock - running.renewed_at > self._engine.slice_after
            if old and running.alone and not running.renewing:
                running.renewing = True
                self._engine.background(self._renew(running))
        if self.tasks:
            try:
                await self._obey()
            except StateUnavailable as error:
                log.warning("cancellations_unknown", error=str(error))

    def tell(self, running: Running) -> None:
        """Let history know who runs the task."""
        claim = running.claim
        if claim is None or running.told:
            return
        running.told = True
        record = base_record(running.envelope.queue, running.task, Status.RUNNING)
        record.attempt, record.seq = claim.attempt, 1
        record.updated_at = now()
        record.started_at = claim.started_at
        record.worker = self._engine.worker
        self._engine.background(self._engine.record(record))

    async def _obey(self) -> None:
        for task_id in await self._engine.state.called_off():
            running = self.tasks.get(task_id)
            if running is None or running.claim is None or running.cancelled is not None:
                continue
            cancellation = await self._engine.state.cancellation(task_id, running.claim.token)
            if cancellation is not None:
                running.cancel(cancellation)

    async def _renew(self, running: Running) -> None:
        """RabbitMQ takes a channel away whose message is unsettled for too long. So a copy is sent
        around by the ladder; when it has come back here it stands for the task, and the old
        delivery is settled. Until then the old one is kept: should this process die, the task is
        at the front of its queue at once."""
        running.adopted.clear()
        old = list(running.deliveries)
        attempt = running.claim.attempt if running.claim else running.task.attempt
        message = running.envelope.single(replace(running.task, attempt=attempt)).message()
        await self._engine.send(running.envelope.queue, message, COMES_BACK_AFTER)
        try:
            async with asyncio.timeout(self._engine.slice_after):
                await running.adopted.wait()
        except TimeoutError:
            log.info("copy_not_back_yet", task_id=running.task.id)
            running.renewed_at = asyncio.get_running_loop().time()
        for delivery in old:
            if delivery in running.deliveries:  # else its task has ended, and settled it
                running.deliveries.remove(delivery)
                await ack(delivery)
        running.renewing = False
