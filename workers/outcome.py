"""How an attempt ends: decide, write the end, tell the history. In this order, always."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from stepline.authoring import Failure, Finished, TaskType
from stepline.contract import EventKind, Status

from handlers.registry import UnknownName
from infra.codec import Encoded, dumps, now, timestamp
from infra.envelope import Envelope, TaskMessage
from infra.history.base import AttemptRecord, TaskRecord
from infra.records import base_record
from infra.state.models import Settlement, Yours
from infra.state.redis import StateUnavailable
from infra.state.scripts import Argument
from infra.state.store import WriteAnswer
from workers.chain import ChainEnd
from workers.deadletter import bury, exhausted
from workers.engine import Engine, insist
from workers.journal import Journal, LostLease
from workers.retry import GiveUp, StepFailure, TryAgain, decide, describe

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Attempt:
    """One claim of one task, while it lasts."""

    queue: str
    task: TaskMessage
    task_type: TaskType
    claim: Yours
    journal: Journal
    end: ChainEnd

    @property
    def finished(self) -> Finished:
        """What the type's `finish` builds the result from."""
        failure = self.end.failure
        return Finished(
            task_id=self.task.id,
            payload=self.task.payload,
            outputs=[(name, output) for (_, name), output in sorted(self.end.outputs.items())],
            handlers=self.task.handlers,
            worker=self.journal.worker,
            duration=(now() - self.claim.started_at).total_seconds(),
            failure=Failure(failure.code, failure.message, failure.handler) if failure else None,
        )

    def record(self, status: Status, *, finished_at: datetime | None = None) -> TaskRecord:
        """What history shall know of it."""
        failure = self.end.failure
        record = base_record(self.queue, self.task, status)
        record.attempt, record.seq = self.claim.attempt, self.journal.seq
        record.updated_at = now()
        record.started_at = self.claim.started_at
        record.finished_at = finished_at
        record.worker = self.journal.worker
        record.error = failure.error() if failure else None
        record.attempts = [
            AttemptRecord(
                attempt=self.claim.attempt,
                worker=self.journal.worker,
                events=self.journal.history,
                outputs=self.end.fresh,
                started_at=self.journal.began_at,
                finished_at=record.updated_at,
                error=record.error,
            )
        ]
        return record


class Conclusion:
    """Brings attempts to their end."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def conclude(self, attempt: Attempt) -> None:
        """Decide what the chain's end means, and write it. Raises `LostLease`."""
        result, attempt.end.failure = _result(attempt)
        failure = attempt.end.failure
        if failure is None:
            await self._succeed(attempt, result)
            return
        policy = attempt.task_type.retry
        with contextlib.suppress(UnknownName):
            policy = self._engine.registry.handler(failure.handler).retry or policy
        decision = decide(failure, policy, failures=attempt.claim.failures + 1)
        if isinstance(decision, TryAgain):
            await self._try_again(attempt, decision)
        else:
            await self.give_up(attempt, decision, result)

    async def succeed(self, attempts: Sequence[Attempt]) -> None:
        """Conclude several whose handlers have all run well: they are written together."""
        together: list[tuple[Attempt, bytes, datetime, Settlement]] = []
        alone: list[Attempt] = []
        for attempt in attempts:
            result, attempt.end.failure = _result(attempt)
            if attempt.end.failure is None and attempt.journal.idle:
                finished = now()
                fields = _succeeded(attempt, result, finished)
                settlement = attempt.journal.settlement(EventKind.SUCCEEDED, fields)
                together.append((attempt, result, finished, settlement))
            else:
                alone.append(attempt)
        answers: Sequence[WriteAnswer | None]
        try:
            answers = await self._engine.state.settle_all([item[-1] for item in together])
        except StateUnavailable as error:
            log.warning("state_away", tasks=len(together), error=str(error))
            answers = [None] * len(together)
        records = []
        for (attempt, result, finished, settlement), answer in zip(together, answers, strict=True):
            try:
                await attempt.journal.settled(settlement, answer)
            except LostLease:
                log.info("lease_lost", task_id=attempt.task.id, attempt=attempt.claim.attempt)
                continue
            self._count(attempt, Status.SUCCESS)
            records.append(self._success_record(attempt, result, finished))
        await self._engine.record(*records)
        for attempt in alone:  # something of it is being written, or it has no result after all
            with contextlib.suppress(LostLease):
                await self.conclude(attempt)

    async def _succeed(self, attempt: Attempt, result: bytes) -> None:
        finished = now()
        self._count(attempt, Status.SUCCESS)
        fields = _succeeded(attempt, result, finished)
        await attempt.journal.settle(EventKind.SUCCEEDED, fields)
        await self._engine.record(self._success_record(attempt, result, finished))

    def _success_record(self, attempt: Attempt, result: bytes, finished: datetime) -> TaskRecord:
        record = attempt.record(Status.SUCCESS, finished_at=finished)
        record.result = Encoded(result)
        return record

    async def _try_again(self, attempt: Attempt, decision: TryAgain) -> None:
        failures = attempt.claim.failures + 1
        self._engine.metrics.retries.labels(attempt.task.type).inc()
        error = decision.failure.error()
        due = time.time() + decision.delay
        await attempt.journal.settle(
            EventKind.RETRY_SCHEDULED,
            {
                "status": Status.RETRYING,
                "failures": failures,
                "not_before": due * 1000,
                "error": dumps(error),
            },
            handler=decision.failure.handler,
            message=f"again in {decision.delay:.1f} s: {decision.failure.message}",
            error=error,
            data={"delay": round(decision.delay, 3), "failures": failures},
        )
        again = replace(
            attempt.task, attempt=attempt.claim.attempt, failures=failures, not_before=due
        )
        message = Envelope(attempt.queue, (again,)).message()
        await self._engine.send(attempt.queue, message, decision.delay)
        await self._engine.record(attempt.record(Status.RETRYING))

    async def give_up(self, attempt: Attempt, decision: GiveUp, result: bytes = b"null") -> None:
        """The task fails. What its handlers have shown all the same is its result."""
        failure = decision.failure
        finished = now()
        self._count(attempt, Status.FAILURE)
        if decision.dead_letter:
            letter = exhausted(attempt.queue, attempt.task, failure.code, failure.error())
            await insist(lambda: bury(self._engine.broker, letter))
        await attempt.journal.settle(
            EventKind.FAILED,
            {
                "status": Status.FAILURE,
                "failures": attempt.claim.failures + 1,
                "result": result,
                "error": dumps(failure.error()),
                "finished_at": timestamp(finished),
                "worker": attempt.journal.worker,
            },
            handler=failure.handler,
            message=failure.message,
            error=failure.error(),
        )
        await self._record(attempt.record(Status.FAILURE, finished_at=finished), result)

    async def cancel(self, attempt: Attempt, error: dict[str, Any]) -> None:
        """Somebody has called the task off while its handlers ran."""
        self._count(attempt, Status.CANCELLED)
        finished = now()
        await attempt.journal.settle(
            EventKind.CANCELLED,
            {
                "status": Status.CANCELLED,
                "result": b"null",
                "error": dumps(error),
                "finished_at": timestamp(finished),
                "worker": attempt.journal.worker,
            },
            handler=error["handler"],
            message=error["message"],
            error=error,
        )
        record = attempt.record(Status.CANCELLED, finished_at=finished)
        record.error = record.attempts[0].error = error
        await self._record(record, b"null")

    async def hand_over(self, attempt: Attempt) -> None:
        """The worker stops: let go at once; whoever claims next goes on after the checkpoints."""
        await attempt.journal.settle(
            EventKind.RETRY_SCHEDULED,
            {"status": Status.RETRYING},
            message="the worker is stopping: another one goes on",
            data={"delay": 0, "failures": attempt.claim.failures},
        )

    def _count(self, attempt: Attempt, status: Status) -> None:
        self._engine.metrics.ended.labels(attempt.task.type, status.value).inc()

    async def _record(self, record: TaskRecord, result: bytes) -> None:
        record.result = Encoded(result)
        await self._engine.record(record)


def _succeeded(attempt: Attempt, result: bytes, finished: datetime) -> dict[str, Argument]:
    return {
        "status": Status.SUCCESS,
        "result": result,
        "finished_at": timestamp(finished),
        "worker": attempt.journal.worker,
    }


def _result(attempt: Attempt) -> tuple[bytes, StepFailure | None]:
    """The type's result, encoded; a `finish` that cannot build it is a permanent failure."""
    failure = attempt.end.failure
    try:
        return dumps(attempt.task_type.finish(attempt.finished)), failure
    except Exception as error:
        described = describe(error, attempt.task.handlers[-1])
        broken = replace(described, code="result_failed", permanent=True)
        return b"null", failure or broken
