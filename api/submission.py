"""Taking a task on: create it in Redis, publish it confirmed, and only then say 202.

Short tasks that are submitted while earlier ones are being published travel together: one write,
one message, one confirm for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import structlog
from pydantic import BaseModel
from stepline.errors import SteplineError

from infra.actions.accept import accept, accept_together
from infra.actions.base import Catalogue, Parts
from infra.actions.draft import draft
from infra.checkpoints import Stored
from infra.envelope import EncodedTask, Envelope
from infra.group_commit import GroupCommit, GroupLimits
from infra.state.redis import StateUnavailable

TOGETHER = GroupLimits(most=40, heaviest=256 * 1024, under_way=3, full_under_way=64)
"""Of one message: tasks, and their bytes. Half of what a worker of the default concurrency has
places for, so that it settles one while it works on the next."""

CLOSE_TIMEOUT = 5.0
CONFIRM_AFTER = 0.2
"""Seconds in which confirmed tasks are collected, to be told to Redis at once."""

log = structlog.get_logger(__name__)


class Submitter:
    """The one road of every submission."""

    def __init__(self, parts: Parts, catalogue: Catalogue, routes: dict[str, str]) -> None:
        self._parts = parts
        self._catalogue = catalogue
        self._routes = routes
        self._groups: dict[str, GroupCommit[EncodedTask]] = {}
        self._confirmed: list[str] = []
        self._background: set[asyncio.Task[Any]] = set()

    def draft(self, type_name: str, payload: BaseModel) -> Envelope:
        """A task of this type, pinned to the handlers that its type has planned for it now."""
        return draft(self._catalogue, self._routes, type_name, payload)

    async def submit(self, envelope: Envelope, inherited: Stored | None = None) -> None:
        """Accept the envelope's task. When this returns, the task will end, whatever crashes.

        Raises `StateUnavailable` or a `BrokerError`. A caller that is cancelled (its client has
        gone) leaves the publish to finish by itself.
        """
        await self.begin(envelope, inherited)

    def begin(self, envelope: Envelope, inherited: Stored | None = None) -> asyncio.Future[None]:
        """As `submit`, for a caller with several to wait for. To cancel what is returned cancels
        the waiting alone."""
        (task,) = envelope.tasks
        if inherited or task.run_at or not self._is_short(task.type):
            return asyncio.shield(self._keep(self._accept(envelope, inherited)))
        encoded = task.encode()
        return self._group(envelope.queue).begin(encoded, len(encoded.json))

    def _is_short(self, type_name: str) -> bool:
        with contextlib.suppress(SteplineError):  # a type that is not known here: who knows
            return self._catalogue.type(type_name).short
        return False

    def _group(self, queue: str) -> GroupCommit[EncodedTask]:
        if queue not in self._groups:
            self._groups[queue] = GroupCommit(partial(self._accept_together, queue), TOGETHER)
        return self._groups[queue]

    async def _accept(self, envelope: Envelope, inherited: Stored | None) -> None:
        await accept(self._parts, envelope, inherited)
        self._note_confirmed(envelope.tasks[0].id)

    async def _accept_together(self, queue: str, tasks: Sequence[EncodedTask]) -> None:
        await accept_together(self._parts, queue, tasks)
        self._note_confirmed(*(item.task.id for item in tasks))

    def _note_confirmed(self, *task_ids: str) -> None:
        """Nothing waits for this: it is for what happens in an hour."""
        if not self._confirmed:
            asyncio.get_running_loop().call_later(CONFIRM_AFTER, self._tell_confirmed)
        self._confirmed += task_ids

    def _tell_confirmed(self) -> None:
        if self._confirmed:
            task_ids, self._confirmed = self._confirmed, []
            self._keep(self._confirm(task_ids))

    async def _confirm(self, task_ids: Sequence[str]) -> None:
        try:
            await self._parts.state.confirm(*task_ids)
        except StateUnavailable as error:  # what has not run by then is made anew by its worker
            log.warning("confirm_skipped", tasks=len(task_ids), error=str(error))

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def close(self) -> None:
        """Let what is under way finish."""
        for group in self._groups.values():
            await group.close(CLOSE_TIMEOUT)
        self._tell_confirmed()
        if self._background:
            await asyncio.wait(self._background, timeout=CLOSE_TIMEOUT)
