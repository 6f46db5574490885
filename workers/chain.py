"""Running a task's chain: the first step without a checkpoint, then the next, until the end.

What decides the outcome is elsewhere (`retry`), and so is what is written at the end (`processor`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import BaseModel, ValidationError
from stepline.authoring import Handler, TaskType
from stepline.contract import EventKind, Named
from stepline.errors import Reject, Retry

from handlers.registry import Registry
from infra.checkpoints import SKIPPED
from infra.codec import dumps, loads
from infra.envelope import TaskMessage
from infra.log_context import log_context
from infra.metrics import Metrics
from infra.state.models import Yours
from workers.blobs import Checkpoints, LostCheckpoint
from workers.context import BlockingContext, Services, StepContext
from workers.journal import Journal, LostLease
from workers.limit import LimitExceeded, within
from workers.retry import StepFailure, describe

log = structlog.get_logger(__name__)


class StepTimeout(Retry):
    """The handler took longer than it may."""

    code = "timeout"


@dataclass(slots=True)
class ChainEnd:
    """How far the chain came: the outputs by step, and what failed, if anything."""

    outputs: dict[tuple[int, str], Any] = field(default_factory=dict)
    fresh: list[dict[str, Any]] = field(default_factory=list)
    """Of the steps that this attempt completed: index, handler, output."""
    failure: StepFailure | None = None


class ChainRun:
    """One attempt at one task's chain."""

    def __init__(
        self,
        *,
        task: TaskMessage,
        task_type: TaskType,
        registry: Registry,
        claim: Yours,
        journal: Journal,
        services: Services,
        checkpoints: Checkpoints,
        metrics: Metrics,
    ) -> None:
        self._task = task
        self._type = task_type
        self._registry = registry
        self._claim = claim
        self._journal = journal
        self._services = services
        self._checkpoints = checkpoints
        self._metrics = metrics
        self._payloads: dict[type[BaseModel], BaseModel] = {}
        self.step: str | None = None
        self._skipped: set[tuple[int, str]] = set()
        self.stopped = False
        """Set to let no further step begin: a handler may swallow its `CancelledError`."""
        self.end = ChainEnd()

    async def run(self) -> ChainEnd:
        """Run what has no checkpoint yet. Raises `LostLease` when the task is another's."""
        await self._load_checkpoints()
        for index, name in enumerate(self._task.handlers):
            if (index, name) in self.end.outputs or (index, name) in self._skipped:
                self._tell_inherited(index, name)
                continue
            if self._journal.lost:
                raise LostLease(self._task.id)
            self.step = name
            handler = self._registry.handler(name)
            began = time.perf_counter()
            if (context := log_context.get()) is not None:
                context.handler = name
            failure = await self._step(index, handler)
            outcome = "completed" if failure is None else "failed"
            seconds = time.perf_counter() - began
            self._metrics.step_seconds.labels(name, outcome).observe(seconds)
            if failure is not None:
                self.end.failure = failure
            if failure is not None or self.stopped:
                break
        return self.end

    def _tell_inherited(self, index: int, name: str) -> None:
        """Whoever watches a retry sees which steps were done by the task before."""
        if index < self._task.from_step and self._claim.attempt == 1:
            message = f"taken over from {self._task.retry_of}"
            self._journal.add(EventKind.STEP_SKIPPED, handler=name, index=index, message=message)

    async def _load_checkpoints(self) -> None:
        for (index, name), stored in sorted(self._claim.outputs.items()):
            if stored == SKIPPED:
                self._skipped.add((index, name))
                continue
            try:
                self.end.outputs[index, name] = await self._checkpoints.load(stored)
            except LostCheckpoint as error:
                log.warning(
                    "checkpoint_lost", task_id=self._task.id, handler=name, error=str(error)
                )

    async def _step(self, index: int, handler: Handler) -> StepFailure | None:
        place: dict[str, Any] = {"handler": handler.name, "index": index}
        ctx = self._context(index, handler)
        try:
            if handler.skip is not None and handler.skip(ctx):
                await self._skip(index, handler)
                return None
            self._journal.add(EventKind.STEP_STARTED, total=len(self._task.handlers), **place)
            self._journal.field("step", index)
            output = await self._call(ctx, handler)
            stored = await self._checkpoints.store(self._task.id, index, dumps(output))
        except LostLease:
            raise
        except Exception as error:
            failure = describe(error, handler.name)
            if failure.output is not None:
                self.end.outputs[index, handler.name] = failure.output
            self._journal.add(
                EventKind.STEP_FAILED, message=failure.message, error=failure.error(), **place
            )
            return failure
        self.end.outputs[index, handler.name] = output
        self.end.fresh.append({**place, "output": output})
        self._journal.checkpoint(index, handler.name, stored)
        self._journal.add(EventKind.STEP_COMPLETED, **place)
        if index + 1 < len(self._task.handlers):
            await self._journal.flush()
        return None

    async def _skip(self, index: int, handler: Handler) -> None:
        """Its own condition leaves it out: for good, whatever it would say at another attempt."""
        self._skipped.add((index, handler.name))
        self._journal.checkpoint(index, handler.name, SKIPPED)
        message = "its condition leaves it out"
        self._journal.add(
            EventKind.STEP_SKIPPED, handler=handler.name, index=index, message=message
        )
        await self._journal.flush()

    def _context(self, index: int, handler: Handler) -> StepContext:
        saved = self._claim.saved.get(index)
        return StepContext(
            task=self._task,
            attempt=self._claim.attempt,
            worker=self._journal.worker,
            index=index,
            handler=handler.name,
            payload=lambda: self._payload(self._type.payload),
            outputs=self._earlier(),
            saved=None if saved is None else loads(saved),
            journal=self._journal,
            services=self._services,
        )

    async def _call(self, ctx: StepContext, handler: Handler) -> Any:
        arguments = [] if handler.payload is None else [self._payload(handler.payload)]
        seconds = handler.timeout if handler.timeout is not None else self._type.timeout
        if handler.is_async:
            work = handler.run(ctx, *arguments)
        else:
            blocking = BlockingContext(ctx, asyncio.get_running_loop())
            work = asyncio.to_thread(handler.run, blocking, *arguments)
        try:
            return await within(seconds, work)
        except LimitExceeded:
            raise StepTimeout(f"{handler.name} took longer than {seconds:g} s") from None

    def _earlier(self) -> Mapping[str, Any]:
        outputs: dict[str, Any] = {}
        for (_, name), output in sorted(self.end.outputs.items()):
            outputs.pop(name, None)
            outputs[name] = output
        return outputs

    def _body(self, model: type[BaseModel]) -> Mapping[str, Any]:
        """The payload without what every submission may carry, where the model does not know it."""
        if issubclass(model, Named):
            return self._task.payload
        return {
            name: value
            for name, value in self._task.payload.items()
            if name not in Named.model_fields
        }

    def _payload(self, model: type[BaseModel]) -> BaseModel:
        """The task's payload as `model`; of a type whose own model is a kind of it, as that."""
        if issubclass(self._type.payload, model):
            model = self._type.payload
        if model not in self._payloads:
            try:
                self._payloads[model] = model.model_validate(self._body(model))
            except ValidationError as error:
                raise Reject(
                    f"the payload is no {model.__name__}: {error.error_count()} problems",
                    code="invalid_payload",
                    details={"errors": error.errors(include_url=False, include_input=False)},
                ) from error
        return self._payloads[model]
