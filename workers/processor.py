"""One delivery, from the claim to the ack: claim, run, decide, record, settle.

The order is the promise: the end is in Redis before the outcome goes to history, the outcome is
confirmed before the delivery is acknowledged. A crash between any two of these leaves a delivery
that comes again, and every step of the repetition is a no-op or goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from secrets import token_hex
from typing import TypeVar

import structlog
from pydantic import BaseModel
from stepline.authoring import TaskType
from stepline.contract import Status

from handlers.registry import UnknownName
from infra.broker.base import Delivery, StaleDelivery
from infra.codec import now
from infra.envelope import BadEnvelope, Envelope, TaskMessage, UnknownVersion, read_envelope
from infra.history.base import HistoryUnavailable, TaskRecord
from infra.state.models import CancelRequested, Claim, Early, Ended, Held, Missing, Yours
from infra.state.redis import StateUnavailable
from workers.chain import ChainEnd, ChainRun
from workers.deadletter import bury, undecodable
from workers.engine import Engine, insist
from workers.journal import Journal, LostLease
from workers.outcome import Attempt, Conclusion
from workers.records import base_record, record_from_state
from workers.rescue import KIND as BARRIER
from workers.rescue import barrier_of
from workers.retry import GiveUp, StepFailure

UNKNOWN_FOR = 600.0
"""Seconds that a message of a type or version unknown here waits for a deploy to finish."""

UNKNOWN_DELAY = 4.0
HELD_DELAY = 1.0
SHORTEST_DELAY = 0.25

CHUNK_TIME = 0.1
"""Seconds after which the unstarted rest of a chunk goes back, each task by itself."""

RUNNING_AFTER = 0.5
"""Seconds after which history learns that a task is running."""

MAX_LOSSES = 5
"""Holders that a task may lose before it is taken for their murderer."""

AWAY_PAUSE = 0.5

FIRST_SEEN = "first_seen"

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Running:
    """A task that this process has in hand, and the deliveries to settle at its end."""

    since: datetime
    deliveries: list[Delivery] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    run: ChainRun | None = None


class Processor:
    """Takes deliveries to their end. One for all queues of a process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._conclusion = Conclusion(engine)
        self.running: dict[str, Running] = {}
        self.draining = False

    async def process(self, delivery: Delivery) -> None:
        """Work a delivery off, and settle it."""
        if delivery.message.kind == BARRIER:
            barrier = barrier_of(delivery.message)
            await _while_away(lambda: self._engine.barriers.passed(barrier, delivery.queue))
            await _ack(delivery)
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
            await _ack(delivery)
        except (UnknownVersion, UnknownName) as error:
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
        await _ack(delivery)

    async def _fail_unknown(self, queue: str, task: TaskMessage, code: str, text: str) -> None:
        claim = await self._claim(queue, task, create=True)
        if not isinstance(claim, Yours):
            return
        failure = StepFailure(code, text, task.handlers[0], permanent=True)
        attempt = self._attempt(queue, task, claim)
        attempt.end.failure = failure
        await self._conclusion.give_up(attempt, GiveUp(failure, dead_letter=False))

    async def _chunk(self, envelope: Envelope, delivery: Delivery) -> None:
        """Several tasks in one message. A message that came back twice is split, so that a
        poisonous task takes no neighbour along."""
        rest = list(envelope.tasks)
        handed_over: list[TaskMessage] = []
        if delivery.count < 2:
            began = time.monotonic()
            while rest and not self.draining and time.monotonic() - began < CHUNK_TIME:
                task = rest.pop(0)
                if await self._one(envelope, task, None):
                    handed_over.append(task)
        for task in (*handed_over, *rest):
            await self._engine.send(envelope.queue, envelope.single(task).message())
        await _ack(delivery)

    async def _one(self, envelope: Envelope, task: TaskMessage, delivery: Delivery | None) -> bool:
        """One task to its end, or onward to where it belongs; True if it was handed over. Without
        a delivery (within a chunk) the caller settles the message."""
        if (running := self.running.get(task.id)) is not None:
            await self._adopt(running, delivery)
            return False
        running = self.running[task.id] = Running(now())
        if delivery is not None:
            running.deliveries.append(delivery)
        release = True  # also when this breaks: the broker gives all of them again
        try:
            release = await self._advance(envelope, task, running)
        finally:
            del self.running[task.id]
            running.ended.set()
            for item in running.deliveries:
                await (_release(item) if release else _ack(item))
        return release

    async def _adopt(self, running: Running, delivery: Delivery | None) -> None:
        """The broker gave the message again, its connection having broken: the run under way goes
        on undisturbed, and settles this delivery too."""
        if delivery is not None:
            running.deliveries.append(delivery)
        else:
            await running.ended.wait()

    async def _advance(self, envelope: Envelope, task: TaskMessage, running: Running) -> bool:
        """Claim and run. True if the deliveries shall go back to their queue."""
        queue, takeover, create = envelope.queue, "", False
        while True:
            claim = await self._claim(queue, task, takeover=takeover, create=create)
            match claim:
                case Yours():
                    return await self._run(queue, task, claim, running)
                case Ended():
                    await self._repair(queue, task)
                    return False
                case Missing():
                    known = await self._recall(task.id)
                    if known is not None and known.status.ended:
                        return False
                    floor = max(task.attempt, known.attempt if known else 0)
                    task, create = replace(task, attempt=floor), True
                case Early(wait=wait) if wait < SHORTEST_DELAY:
                    await asyncio.sleep(wait)
                case Held(holder=holder, token=token) if await self._is_dead(holder):
                    takeover = token
                case Early() | Held():
                    wait = claim.wait if isinstance(claim, Early) else HELD_DELAY
                    await self._engine.send(queue, envelope.single(task).message(), wait)
                    return False
                case CancelRequested():
                    return False

    async def _run(self, queue: str, task: TaskMessage, claim: Yours, running: Running) -> bool:
        engine = self._engine
        attempt = self._attempt(queue, task, claim)
        running.run = run = ChainRun(
            task=task,
            task_type=attempt.task_type,
            registry=engine.registry,
            claim=claim,
            journal=attempt.journal,
            services=engine.services,
            checkpoints=engine.checkpoints,
        )
        attempt.end = run.end
        tell = asyncio.get_running_loop().call_later(
            RUNNING_AFTER, self._tell_running, queue, task, claim
        )
        try:
            with structlog.contextvars.bound_contextvars(task_id=task.id, attempt=claim.attempt):
                if claim.losses > MAX_LOSSES:
                    attempt.end.failure = murderer = _murderer(claim, task)
                    await self._conclusion.give_up(attempt, GiveUp(murderer, dead_letter=True))
                else:
                    await run.run()
                    await self._conclusion.conclude(attempt)
        except LostLease:
            log.info("lease_lost", task_id=task.id, attempt=claim.attempt)
        except asyncio.CancelledError:
            if not self.draining:
                raise
            with contextlib.suppress(LostLease):
                await self._conclusion.hand_over(attempt)
            return True
        finally:
            tell.cancel()
            await attempt.journal.close()
        return False

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
            journal=Journal(engine.state, queue, task, claim, engine.worker),
            end=ChainEnd(),
        )

    async def _claim(
        self, queue: str, task: TaskMessage, *, takeover: str = "", create: bool = False
    ) -> Claim:
        token = token_hex(12)
        return await _while_away(
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
        return await _while_away(lambda: self._engine.workers.is_dead(holder))

    async def _recall(self, task_id: str) -> TaskRecord | None:
        """Redis has forgotten the task: what does history know?"""
        while True:
            try:
                return await self._engine.history.get(task_id)
            except HistoryUnavailable as error:
                log.warning("history_away", task_id=task_id, error=str(error))
                await asyncio.sleep(AWAY_PAUSE)

    async def _repair(self, queue: str, task: TaskMessage) -> None:
        """The task has ended, but its worker may have died before history heard of it."""
        state = await _while_away(lambda: self._engine.state.get(task.id))
        if state is None:
            return
        events = await _while_away(lambda: self._engine.state.events(task.id))
        await self._engine.record(record_from_state(queue, task, state, events))

    def _tell_running(self, queue: str, task: TaskMessage, claim: Yours) -> None:
        record = base_record(queue, task, Status.RUNNING)
        record.attempt, record.seq = claim.attempt, 1
        record.updated_at = now()
        record.started_at = claim.started_at
        record.worker = self._engine.worker
        self._engine.background(self._engine.record(record))


def _murderer(claim: Yours, task: TaskMessage) -> StepFailure:
    return StepFailure(
        "worker_lost",
        f"{claim.losses} workers died while they held this task",
        task.handlers[0],
        permanent=True,
    )


async def _while_away(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask Redis until it answers. What is asked may be repeated."""
    while True:
        try:
            return await ask()
        except StateUnavailable as error:
            log.warning("state_away", error=str(error))
            await asyncio.sleep(AWAY_PAUSE)


async def _ack(delivery: Delivery) -> None:
    try:
        await delivery.ack()
    except StaleDelivery:  # it comes again, and finds the task ended
        log.info("ack_stale", queue=delivery.queue)


async def _release(delivery: Delivery) -> None:
    try:
        await delivery.release()
    except StaleDelivery:
        log.info("release_stale", queue=delivery.queue)
