"""Taking a task on: create it in Redis, publish it confirmed, and only then say 202."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
import uuid_utils
from pydantic import BaseModel

from handlers.registry import Registry
from infra.broker.base import Broker
from infra.codec import now
from infra.envelope import Envelope, TaskMessage
from infra.state.redis import StateUnavailable
from infra.state.store import State

log = structlog.get_logger(__name__)


class Submitter:
    """The one road of every submission."""

    def __init__(
        self, broker: Broker, state: State, registry: Registry, routes: dict[str, str]
    ) -> None:
        self._broker = broker
        self._state = state
        self._registry = registry
        self._routes = routes
        self._background: set[asyncio.Task[Any]] = set()

    def draft(self, type_name: str, payload: BaseModel) -> Envelope:
        """A task of this type, pinned to the handlers that its type has planned for it now."""
        task_type = self._registry.type(type_name)
        body = payload.model_dump(mode="json", exclude_unset=True)
        task = TaskMessage(
            id=str(uuid_utils.uuid7()),
            type=type_name,
            handlers=tuple(task_type.plan(payload)),
            payload=body,
            created_at=now(),
            name=body.get("task_name"),
        )
        return Envelope(self._registry.queue_of(type_name, self._routes), (task,))

    async def submit(self, envelope: Envelope) -> None:
        """Accept the envelope's task. When this returns, the task will end, whatever crashes.

        Raises `StateUnavailable` or a `BrokerError`. A caller that is cancelled (its client has
        gone) leaves the publish to finish by itself.
        """
        await asyncio.shield(self._keep(self._accept(envelope)))

    async def _accept(self, envelope: Envelope) -> None:
        (task,) = envelope.tasks
        await self._state.submit(envelope.queue, task)
        await self._broker.accept(envelope.queue, envelope.message())
        self._keep(self._confirm(task.id))

    async def _confirm(self, task_id: str) -> None:
        try:
            await self._state.confirm(task_id)
        except StateUnavailable as error:  # the claim lifts the expiry too
            log.warning("confirm_skipped", task_id=task_id, error=str(error))

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def close(self) -> None:
        """Let what is under way finish."""
        if self._background:
            await asyncio.wait(self._background, timeout=5.0)
