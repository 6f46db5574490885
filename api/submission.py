"""Taking a task on: create it in Redis, publish it confirmed, and only then say 202."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from pydantic import BaseModel

from infra.actions.accept import accept
from infra.actions.base import Catalogue, Parts
from infra.actions.draft import draft
from infra.checkpoints import Stored
from infra.envelope import Envelope
from infra.state.redis import StateUnavailable

log = structlog.get_logger(__name__)


class Submitter:
    """The one road of every submission."""

    def __init__(self, parts: Parts, catalogue: Catalogue, routes: dict[str, str]) -> None:
        self._parts = parts
        self._catalogue = catalogue
        self._routes = routes
        self._background: set[asyncio.Task[Any]] = set()

    def draft(self, type_name: str, payload: BaseModel) -> Envelope:
        """A task of this type, pinned to the handlers that its type has planned for it now."""
        return draft(self._catalogue, self._routes, type_name, payload)

    async def submit(self, envelope: Envelope, inherited: Stored | None = None) -> None:
        """Accept the envelope's task. When this returns, the task will end, whatever crashes.

        Raises `StateUnavailable` or a `BrokerError`. A caller that is cancelled (its client has
        gone) leaves the publish to finish by itself.
        """
        await asyncio.shield(self._keep(self._accept(envelope, inherited)))

    async def _accept(self, envelope: Envelope, inherited: Stored | None) -> None:
        await accept(self._parts, envelope, inherited)
        self._keep(self._confirm(envelope.tasks[0].id))

    async def _confirm(self, task_id: str) -> None:
        try:
            await self._parts.state.confirm(task_id)
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
