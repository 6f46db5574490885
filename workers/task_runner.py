"""One task in hand: claim it, run its handlers, bring it to its end, let go of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from pydantic import BaseModel
from stepline.authoring import TaskType
from stepline.contract import EventKind, Status

from handlers.registry import UnknownName
from infra.broker.base import Delivery
from infra.codec import now, timestamp
from infra.envelope import Envelope, TaskMessage
from infra.log_context import LogContext, log_context
from infra.state.models import (
    CancelRequested,
    Claim,
    Early,
    Ended,
    Expired,
    Held,
    Missing,
    Yours,
)
from workers import recall
from workers.chain import ChainEnd, ChainRun
from workers.engine import Engine
from workers.holding import Holding, Running
from workers.journal import Journal, LostLease
from workers.outcome import Attempt, Conclusion
from workers.patience import ack, release, while_away
from workers.retry import GiveUp, StepFailure

HELD_DELAY = 1.0
SHORTEST_DELAY = 0.25

MAX_LOSSES = 5
"""Holders that a task may lose before it is taken for their murderer."""

log = structlog.get_logger(__name__)


class TaskRunner:
    """Takes single tasks to their end. One for all of a process."""

    def __init__(self, engine: Engine, holding: Holding) -> None:
        self._engine = engine
        self.holding = holding
        self.conclusion = Conclusion(engine)

    async def take(self, envelope: Envelope, task: TaskMessage, delivery: Delivery | None) -> bool:
        """One task to its end, or onward to where it belongs; True if it was handed over. Without
        a delivery (within a chunk) the caller settles the message."""
        if (running := self.holding.tasks.get(task.id)) is not None:
            if delivery is not None:
                running.adopt(delivery)
            else:
                await running.ended.wait()
                return running.handed_over
            return False
        running = self.hold(envelope, task, delivery)
        handed_over = True  # also when this breaks: the broker gives all of them again
        try:
            handed_over = await self.advance(running)
        finally:
            await self.let_go(running, handed_over=handed_over)
        return handed_over

    def hold(
        self, envelope: Envelope, task: TaskMessage, delivery: Delivery | None = None
    ) -> Running:
        """Have it in hand from now on."""
        clock = asyncio.get_running_loop().time()
        running = Running(envelope, task, now(), clock, alone=delivery is not None)
        self.holding.tasks[task.id] = running
        self.holding.done += 1
        if delivery is not None:
            running.deliveries.append(delivery)
        return running

    async def let_go(self, running: Running, *, handed_over: bool) -> None:
        """Have it in hand no longer, and settle what deliveries of it there are."""
        del self.holding.tasks[running.task.id]
        running.handed_over = handed_over
        running.ended.set()
        while running.deliveries:
            item = running.deliveries.pop()
            await (release(item) if handed_over else ack(item))

    async def claim_all(self, tasks: Sequence[TaskMessage]) -> list[Claim]:
        """Try to take several at once."""
        tokens = [_token() for _ in tasks]
        return await while_away(
            lambda: self._engine.state.claim_all(tasks, tokens, self._engine.worker)
        )

    async def advance(self, running: Running, claim: Claim | None = None) -> bool:
        """From a claim (of the caller's, or a new one) to the end, or onward. True if the
        deliveries shall go back to their queue."""
        task, queue, takeover, create = running.task, running.envelope.queue, "", False
        while True:
            claim = claim or await self._claim(queue, task, takeover=takeover, create=create)
            match claim:
                case Yours():
                    running.task = task
                    claim = await recall.with_inherited(self._engine, task, claim)
                    return await self.carry(self.begin(claim, running), running)
                case Ended():
                    await recall.repair(self._engine, task)
                    return False
                case Missing():
                    attempt = await recall.attempts_so_far(self._engine, task)
                    if attempt is None:
                        return False
                    task, create = replace(task, attempt=attempt), True
                case CancelRequested() | Expired():
                    await self._end_unstarted(task.id, claim, takeover)
                case Early(wait=wait) if wait < SHORTEST_DELAY:
                    await asyncio.sleep(wait)
                case Held(holder=holder, token=token) if await self._is_dead(holder):
                    takeover = token
                case Early() | Held():
                    await self._later(
                        running, claim.wait if isinstance(claim, Early) else HELD_DELAY
                    )
                    return False
            claim = None

    async def fail_unknown(self, queue: str, task: TaskMessage, code: str, text: str) -> None:
        """End a task of a type that nobody here knows, unless it is another's, or ended."""
        match claim := await self._claim(queue, task, create=True):
            case Yours():
                failure = StepFailure(code, text, task.handlers[0], permanent=True)
                attempt = self._attempt(queue, task, claim)
                attempt.end.failure = failure
                await self.conclusion.give_up(attempt, GiveUp(failure, dead_letter=False))
            case CancelRequested() | Expired():
                await self._end_unstarted(task.id, claim, "")
                await recall.repair(self._engine, task)

    async def _later(self, running: Running, wait: float) -> None:
        """Not now: round by the ladder."""
        message = running.envelope.single(running.task).message()
        await self._engine.send(running.envelope.queue, message, wait)

    async def _end_unstarted(
        self, task_id: str, claim: CancelRequested | Expired, takeover: str
    ) -> None:
        """It was cancelled, or it is too late: it ends without another attempt. The next claim
        finds it ended, and tells history."""
        kind, status = EventKind.CANCELLED, Status.CANCELLED
        if isinstance(claim, CancelRequested):
            error = claim.cancellation.error()
        else:
            kind, status, error = EventKind.FAILED, Status.FAILURE, expired(claim.deadline)
        await while_away(
            lambda: self._engine.state.end(task_id, kind, status, error, takeover=takeover)
        )

    def begin(self, claim: Yours, running: Running) -> Attempt:
        """An attempt at what was claimed, before its first step."""
        engine, task = self._engine, running.task
        attempt = self._attempt(running.envelope.queue, task, claim)
        running.run = run = ChainRun(
            task=task,
            task_type=attempt.task_type,
            registry=engine.registry,
            claim=claim,
            journal=attempt.journal,
            services=engine.services,
            checkpoints=engine.checkpoints,
            metrics=engine.metrics,
        )
        attempt.end = run.end
        attempt.journal.on_lost = running.lose
        running.claim = claim
        if claim.taken_over:  # at once: history is the judge of who came last
            self.holding.tell(running)
            engine.metrics.lost.labels(running.envelope.queue).inc()
        elif claim.attempt == 1:
            waited = claim.started_at.timestamp() - max(task.created_at.timestamp(), task.run_at)
            engine.metrics.queue_seconds.labels(running.envelope.queue).observe(max(0.0, waited))
        return attempt

    async def carry(self, attempt: Attempt, running: Running, *, performed: bool = False) -> bool:
        """Run the handlers, unless that was done, and write the end. True if it was handed over."""
        claim = attempt.claim
        context = log_context.set(LogContext(attempt.task.id, claim.attempt))
        try:
            if claim.losses > MAX_LOSSES:
                attempt.end.failure = murderer = _murderer(claim, attempt.task)
                await self.conclusion.give_up(attempt, GiveUp(murderer, dead_letter=True))
            else:
                if not performed:
                    await self.perform(running)
                await self._conclude(attempt, running)
        except LostLease:
            log.info("lease_lost")
        except asyncio.CancelledError:
            # whatever the cause: nobody else may take what a living process holds
            await self.hand_over(attempt)
            if not self.holding.draining:
                raise
            return True
        finally:
            await attempt.journal.close()
            log_context.reset(context)
        return False

    async def hand_over(self, attempt: Attempt) -> None:
        """Let others go on with it."""
        with contextlib.suppress(LostLease):
            await self.conclusion.hand_over(attempt)

    async def perform(self, running: Running) -> None:
        """Run the handlers; a cancellation, or the loss of the task, ends them and nothing else.
        Raises `LostLease`."""
        if running.run is None:
            raise RuntimeError("nothing was claimed")
        running.runner = runner = asyncio.current_task()
        try:
            await running.run.run()
        except asyncio.CancelledError:
            if running.cancelled is None and not running.lost:
                raise
        finally:
            running.runner = None
            if runner is not None and (running.cancelled is not None or running.lost):
                runner.uncancel()
        if running.lost:
            raise LostLease(running.task.id)

    async def _conclude(self, attempt: Attempt, running: Running) -> None:
        if running.cancelled is None:
            await self.conclusion.conclude(attempt)
            return
        step = running.run.step if running.run is not None else None
        await self.conclusion.cancel(attempt, running.cancelled.error(step))
        self._engine.background(self._forget_call_off(attempt.task.id))

    async def _forget_call_off(self, task_id: str) -> None:
        await while_away(lambda: self._engine.state.obeyed(task_id))

    def _attempt(self, queue: str, task: TaskMessage, claim: Yours) -> Attempt:
        engine = self._engine
        try:
            task_type = engine.registry.type(task.type)
        except UnknownName:
            task_type = TaskType(task.type, payload=BaseModel, plan=lambda _payload: task.handlers)
        return Attempt(
            queue=queue,
            task=task,
            task_type=task_type,
            claim=claim,
            journal=Journal(
                engine.state,
                queue,
                task,
                claim,
                engine.worker,
                current=lambda: recall.is_current(engine, task.id, claim.attempt),
            ),
            end=ChainEnd(),
        )

    async def _claim(
        self, queue: str, task: TaskMessage, *, takeover: str = "", create: bool = False
    ) -> Claim:
        token = _token()
        return await while_away(
            lambda: self._engine.state.claim(
                queue,
                task,
                token=token,
                worker=self._engine.worker,
                takeover=takeover,
                create=create,
            )
        )

    async def _is_dead(self, holder: str) -> bool:
        """This process holds what it has in `running`, and nothing else."""
        if holder == self._engine.worker:
            return True
        return await while_away(lambda: self._engine.workers.is_dead(holder))


def _token() -> str:
    """A fresh claim's: it fences every later write."""
    return f"{random.getrandbits(96):024x}"


def _murderer(claim: Yours, task: TaskMessage) -> StepFailure:
    return StepFailure(
        "worker_lost",
        f"{claim.losses} workers died while they held this task",
        task.handlers[0],
        permanent=True,
    )


def expired(deadline: float) -> dict[str, object]:
    """The error of a task that was not started in time."""
    due = timestamp(datetime.fromtimestamp(deadline, UTC))
    return {
        "code": "expired",
        "message": f"not started by its deadline, {due}",
        "handler": None,
        "details": {"deadline": due},
    }
