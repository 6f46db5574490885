"""The context that a running step gets: the engine's side of `stepline.authoring.Context`."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import BaseModel
from stepline.authoring import JSON, Exports, Fetcher, Mailer, Users

from infra.codec import dumps
from infra.envelope import TaskMessage
from workers.journal import Journal

OUTPUT_BACKLOG = 200
"""Pieces of output that may wait before a handler is made to wait for Redis."""


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers may use of the outside world."""

    mailer: Mailer
    fetcher: Fetcher
    exports: Exports
    users: Users


SERVICES = frozenset(item.name for item in fields(Services))


class StepContext:
    """One step's view of its task."""

    def __init__(
        self,
        *,
        task: TaskMessage,
        attempt: int,
        worker: str,
        index: int,
        handler: str,
        payload: Callable[[], BaseModel],
        outputs: Mapping[str, JSON],
        saved: JSON,
        journal: Journal,
        services: Services,
    ) -> None:
        self.task_id = task.id
        self.task_type = task.type
        self.task_name = task.name
        self.created_at = task.created_at
        self.attempt = attempt
        self.worker = worker
        self.index = index
        self.total = len(task.handlers)
        self.handler = handler
        self.outputs = outputs
        self.saved = saved
        self.idempotency_key = f"{task.id}:{index}:{handler}"
        self.mailer = services.mailer
        self.fetcher = services.fetcher
        self.exports = services.exports
        self.users = services.users
        self._payload = payload
        self._journal = journal
        self._backlog = 0

    @property
    def payload(self) -> BaseModel:
        """Validated when it is first asked for: most steps take it as their second parameter."""
        return self._payload()

    async def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None:
        if not math.isfinite(current) or (total is not None and not math.isfinite(total)):
            raise ValueError("progress takes finite numbers")
        percent = round(100.0 * current / total, 2) if total else None
        self._journal.progress(
            handler=self.handler,
            index=self.index,
            current=current,
            total=total,
            percent=percent,
            message=message,
        )

    async def save(self, state: JSON) -> None:
        await self._journal.save(self.index, dumps(state))

    async def emit(self, data: JSON) -> None:
        self._journal.output(handler=self.handler, index=self.index, data=data)
        self._backlog += 1
        if self._backlog >= OUTPUT_BACKLOG:
            self._backlog = 0
            await self._journal.flush()

    async def log(self, message: str, **fields: JSON) -> None:
        self._journal.log_line(
            handler=self.handler, index=self.index, message=message, data=fields or None
        )


class BlockingContext:
    """The same context for a plain `def` handler in its thread: coroutine methods block."""

    def __init__(self, ctx: StepContext, loop: asyncio.AbstractEventLoop) -> None:
        self._ctx = ctx
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._ctx, name)
        if name in SERVICES:
            return _BlockingService(value, self._loop)
        return _blocking(value, self._loop)


class _BlockingService:
    def __init__(self, service: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return _blocking(getattr(self._service, name), self._loop)


def _blocking(value: Any, loop: asyncio.AbstractEventLoop) -> Any:
    return _waiting(value, loop) if inspect.iscoroutinefunction(value) else value


def _waiting(method: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(method(*args, **kwargs), loop).result()

    return call
