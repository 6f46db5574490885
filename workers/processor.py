"""One delivery, from the claim to the ack: claim, run, decide, record, settle.

The order is the promise: the end is in Redis before the outcome goes to history, the outcome is
confirmed before the delivery is acknowledged. A crash between any two of these leaves a delivery
that comes again, and every step of the repetition is a no-op or goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from pydantic import BaseModel
from stepline.authoring import TaskType
from stepline.contract import EventKind, Status
from structlog.contextvars import bind_contextvars, unbind_contextvars

from handlers.registry import UnknownName
from infra.broker.base import Delivery
from infra.codec import now, timestamp
from infra.envelope import BadEnvelope, Envelope, TaskMessage, UnknownVersion, read_envelope
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
from workers.deadletter import bury, undecodable
from workers.engine import Engine, insist
from workers.holding import Holding, Running
from workers.journal import Journal, LostLease
from workers.outcome import Attempt, Conclusion
from workers.patience import ack, release, while_away
from workers.rescue import KIND as BARRIER
from workers.rescue import barrier_of
from workers.retry import GiveUp, StepFailure

UNKNOWN_FOR = 600.0
"""Seconds that a message of a type or version unknown here waits for a deploy to finish."""

UNKNOWN_DELAY = 4.0
HELD_DELAY = 1.0
SHORTEST_DELAY = 0.25

CHUNK_PLACES = 64
"""Tasks out of chunks that a process has in hand at once, beside those that take a slot each."""

SPLIT_AT = 2
"""Redeliveries after which the tasks of a chunk travel alone."""

MAX_LOSSES = 5
"""Holders that a task may lose before it is taken for their murderer."""

FIRST_SEEN = "first_seen"

log = structlog.get_logger(__name__)


class Processor:
    """Takes deliveries to their end. One for all queues of a process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._conclusion = Conclusion(engine)
        self.holding = Holding(engine)
        self._places = asyncio.Semaphore(CHUNK_PLACES)
        self.draining = False
        self.done = 0
        """Tasks that were taken on, for good or bad."""

    async def process(self, delivery: Delivery) -> None:
        """Work a delivery off, and settle it."""
        if delivery.message.kind == BARRIER:
            barrier = barrier_of(delivery.message)
            await while_away(lambda: self._engine.barriers.passed(barrier, delivery.queue))
            await ack(delivery)
            return
        try:
            envelope = read_envelope(delivery.message)
            for task in envelope.tasks:
                self._engine.registry.type(task.type)
                for name in task.handlers:
                    self._engine.registry.handler(name)
        except BadEnvelope as error:
            letter = undecodable(delivery.queue, delivery.message, error.code, error.message)
            await insist(lambda: bury(self._engine.broker, letter))
            await ack(delivery)
        except UnknownVersion as error:
            await self._unknown(delivery, error.code, error.message)
        except UnknownName as error:
            if len(envelope.tasks) > 1:  # the others are not to wait for it
                await self._send_singly(envelope, envelope.tasks, delivery)
            else:
                await self._unknown(delivery, error.code, error.message)
        else:
            if len(envelope.tasks) == 1:
                await self._one(envelope, envelope.tasks[0], delivery)
            else:
                await self._chunk(envelope, delivery)

    async def _unknown(self, delivery: Delivery, code: str, text: str) -> None:
        """A deploy may be under way: another worker may know it, or this one soon."""
        seen = float(delivery.message.headers.get(FIRST_SEEN, 0)) or time.time()
        if time.time() - seen < UNKNOWN_FOR:
            log.warning("unknown_message", code=code, error=text, queue=delivery.queue)
            message = replace(delivery.message, headers={FIRST_SEEN: repr(seen)})
            await self._engine.send(delivery.queue, message, UNKNOWN_DELAY)
        else:
            letter = undecodable(delivery.queue, delivery.message, code, text)
            await insist(lambda: bury(self._engine.broker, letter))
            with contextlib.suppress(UnknownVersion):
                for task in read_envelope(delivery.message).tasks:
                    await self._fail_unknown(delivery.queue, task, code, text)
        await ack(delivery)

    async def _fail_unknown(self, queue: str, task: TaskMessage, code: str, text: str) -> None:
        match claim := await self._claim(queue, task, create=True):
            case Yours():
                failure = StepFailure(code, text, task.handlers[0], permanent=True)
                attempt = self._attempt(queue, task, claim)
                attempt.end.failure = failure
                await self._conclusion.give_up(attempt, GiveUp(failure, dead_letter=False))
            case CancelRequested() | Expired():
                await self._end_unstarted(task.id, claim, "")
                await recall.repair(self._engine, task)

    async def _chunk(self, envelope: Envelope, delivery: Delivery) -> None:
        """Several tasks in one message: they are claimed, run and ended together, since what each
        of them asks of Redis and the broker meets the others' on the way. A message that came back
        is worked off one task at a time, and then split: a poisonous task takes no neighbour along.
        """
        tasks = envelope.tasks
        if delivery.count >= SPLIT_AT:
            await self._send_singly(envelope, tasks, delivery)
            return
        if delivery.count:
            handed_over = [await self._member(envelope, task) for task in tasks]
        else:
            members = asyncio.gather(
                *(self._member(envelope, task) for task in tasks), return_exceptions=True
            )
            try:
                answers = await members
            except asyncio.CancelledError:
                if not self.draining:
                    raise
                await release(delivery)  # whoever gets it finds what has ended, ended
                return
            handed_over = [_raised(answer) for answer in answers]
        rest = [task for task, over in zip(tasks, handed_over, strict=True) if over]
        await self._send_singly(envelope, rest, delivery)

    async def _member(self, envelope: Envelope, task: TaskMessage) -> bool:
        async with self._places:
            return self.draining or await self._one(envelope, task, None)

    async def _send_singly(
        self, envelope: Envelope, tasks: Sequence[TaskMessage], delivery: Delivery
    ) -> None:
        """In the place of the message: these of its tasks, each in one of its own."""
        for task in tasks:
            await self._engine.send(envelope.queue, envelope.single(task).message())
        await ack(delivery)

    async def _one(self, envelope: Envelope, task: TaskMessage, delivery: Delivery | None) -> bool:
        """One task to its end, or onward to where it belongs; True if it was handed over. Without
        a delivery (within a chunk) the caller settles the message."""
        if (running := self.holding.tasks.get(task.id)) is not None:
            if delivery is not None:
                running.adopt(delivery)
            else:
                await running.ended.wait()
                return running.handed_over
            return False
        clock = asyncio.get_running_loop().time()
        running = Running(envelope, task, now(), clock, alone=delivery is not None)
        self.holding.tasks[task.id] = running
        self.done += 1
        if delivery is not None:
            running.deliveries.append(delivery)
        handed_over = True  # also when this breaks: the broker gives all of them again
        try:
            handed_over = await self._advance(running)
        finally:
            del self.holding.tasks[task.id]
            running.handed_over = handed_over
            running.ended.set()
            while running.deliveries:
                item = running.deliveries.pop()
                await (release(item) if handed_over else ack(item))
        return handed_over

    async def _advance(self, running: Running) -> bool:
        """Claim and run. True if the deliveries shall go back to their queue."""
        task, queue, takeover, create = running.task, running.envelope.queue, "", False
        while True:
            claim = await self._claim(queue, task, takeover=takeover, create=create)
            match claim:
                case Yours():
                    running.task = task
                    return await self._run(claim, running)
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

    async def _run(self, claim: Yours, running: Running) -> bool:
        engine, task = self._engine, running.task
        claim = await recall.with_inherited(engine, task, claim)
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
        bind_contextvars(task_id=task.id, attempt=claim.attempt)
        try:
            if claim.losses > MAX_LOSSES:
                attempt.end.failure = murderer = _murderer(claim, task)
                await self._conclusion.give_up(attempt, GiveUp(murderer, dead_letter=True))
            else:
                await self._chain(run, running)
                await self._conclude(attempt, running)
        except LostLease:
            log.info("lease_lost", task_id=task.id, attempt=claim.attempt)
        except asyncio.CancelledError:
            # whatever the cause: nobody else may take what a living process holds
            with contextlib.suppress(LostLease):
                await self._conclusion.hand_over(attempt)
            if not self.draining:
                raise
            return True
        finally:
            await attempt.journal.close()
            unbind_contextvars("task_id", "attempt", "handler")
        return False

    async def _chain(self, run: ChainRun, running: Running) -> None:
        """Run the handlers; a cancellation, or the loss of the task, ends them and nothing else."""
        running.runner = runner = asyncio.current_task()
        try:
            await run.run()
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
            await self._conclusion.conclude(attempt)
            return
        step = running.run.step if running.run is not None else None
        await self._conclusion.cancel(attempt, running.cancelled.error(step))
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
        token = f"{random.getrandbits(96):024x}"
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


def _raised(answer: bool | BaseException) -> bool:
    if isinstance(answer, BaseException):
        raise answer
    return answer


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
