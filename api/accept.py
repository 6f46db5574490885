"""Answering a submission: 202 at once, 200 when it ended within the wait, or its own stream."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from stepline.contract import Status

from api.deps import taking_of
from api.errors import RETRY_AFTER
from api.idempotency import parse_key
from api.prefer import Preference, parse_prefer
from api.streaming import TaskViewer
from api.taking import Taking
from api.viewer import EventStream
from api.views import MESSAGES, find, links, task_error
from infra.checkpoints import Stored
from infra.codec import dumps
from infra.envelope import Envelope
from infra.history.base import TaskRecord
from infra.resources import Resources
from infra.state.hub import Watcher
from infra.state.models import TaskState
from infra.state.redis import StateUnavailable

EVENT_STREAM = "text/event-stream"

Ended = TaskState | TaskRecord


class Acceptance:
    """One submission's way from its payload to its answer, as the client's headers want it."""

    def __init__(
        self,
        request: Request,
        resources: Resources,
        taking: Taking,
        key: str | None,
    ) -> None:
        self._request = request
        self._resources = resources
        self._taking = taking
        self._key = key

    async def __call__(
        self,
        task_type: str,
        payload: BaseModel,
        *,
        default_wait: float = 0.0,
        estimated_duration: int | None = None,
    ) -> Response:
        """Submit, and answer."""
        envelope = self._taking.submitter.draft(task_type, payload)
        return await self.drafted(
            envelope, default_wait=default_wait, estimated_duration=estimated_duration
        )

    async def drafted(
        self,
        envelope: Envelope,
        inherited: Stored | None = None,
        *,
        key: str | None = None,
        default_wait: float = 0.0,
        estimated_duration: int | None = None,
    ) -> Response:
        """Submit what was drafted, and answer. `key` is one of ours, where the client gave none."""
        key = key or self._key
        prefer = parse_prefer(self._request.headers.getlist("prefer"), default_wait)
        streaming = EVENT_STREAM in self._request.headers.get("accept", "")
        replayed, ended = False, None
        async with AsyncExitStack() as stack:
            watcher: Watcher | None = None
            wait = 0.0 if streaming or _starts_after(envelope, prefer.wait) else prefer.wait
            if wait and key is None:
                watcher = await stack.enter_async_context(self._watch(envelope))
            envelope, replayed = await self._taking.take(key, envelope, inherited)
            if wait and key is not None:
                watcher = await stack.enter_async_context(self._watch(envelope))
            if watcher is not None:
                ended = await self._ended(envelope, watcher, wait, look_first=key is not None)
        headers = {"Idempotent-Replayed": "true"} if replayed else {}
        if streaming:
            return self._stream(envelope, headers)
        return _answer(envelope, ended, prefer, estimated_duration, headers)

    def _watch(self, envelope: Envelope) -> Any:
        return self._resources.hub.watch(envelope.tasks[0].id)

    def _stream(self, envelope: Envelope, headers: dict[str, str]) -> Response:
        task_id = envelope.tasks[0].id
        viewer = TaskViewer(self._resources, task_id)
        return EventStream(viewer, headers | {"Location": links(task_id).status})

    async def _ended(
        self, envelope: Envelope, watcher: Watcher, seconds: float, *, look_first: bool
    ) -> Ended | None:
        """The task once it has ended; None if it has not within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                look = look_first
                while True:
                    if look:
                        task = await find(self._resources, envelope.tasks[0].id)
                        if task is not None and task.status.ended:
                            return task
                    if watcher.closed:
                        return None
                    live = await watcher.next()
                    look = live is None or live.terminal
        except (TimeoutError, StateUnavailable):  # accepted all the same
            return None


def _starts_after(envelope: Envelope, seconds: float) -> bool:
    """Is it deferred so far that there is no use in waiting?"""
    return envelope.tasks[0].run_at > time.time() + seconds


def _answer(
    envelope: Envelope,
    ended: Ended | None,
    preference: Preference,
    estimated_duration: int | None,
    headers: dict[str, str],
) -> Response:
    (task,) = envelope.tasks
    status = Status.SCHEDULED if task.run_at else Status.PENDING
    status = ended.status if ended else status
    content: dict[str, Any] = {  # an `Accepted`
        "task_id": task.id,
        "task_name": task.name,
        "type": task.type,
        "status": status,
        "message": MESSAGES[status] if ended else "The task was accepted.",
        "queue": envelope.queue,
        "links": links(task.id).model_dump(by_alias=True),
        "estimated_duration": estimated_duration,
        "run_at": datetime.fromtimestamp(task.run_at, UTC) if task.run_at else None,
        "retry_of": task.retry_of,
        "result": ended.result if ended else None,
    }
    if ended and status is not Status.SUCCESS and (error := task_error(ended.error)) is not None:
        content["error"] = error.model_dump(mode="json", exclude_none=True)
    headers = headers | {"Location": content["links"]["status"]}
    if preference.applied:
        headers["Preference-Applied"] = preference.applied
    if ended is None:
        headers["Retry-After"] = str(RETRY_AFTER)
    return Response(
        dumps({name: value for name, value in content.items() if value is not None}),
        status_code=200 if ended else 202,
        media_type="application/json",
        headers=headers,
    )


def acceptance_of(request: Request) -> Acceptance:
    """What accepts this request's submission. Raises a 400 problem for a malformed key."""
    key = parse_key(request.headers.getlist("idempotency-key"))
    resources: Resources = request.app.state.resources
    return Acceptance(request, resources, taking_of(request), key)


async def _acceptance(
    request: Request,
    idempotency_key: Annotated[  # read from the request: it must not come twice
        str | None,
        Header(description="The same key and body always give the same task, for 24 hours."),
    ] = None,
    prefer: Annotated[  # read from the request: it may come several times
        str | None, Header(description="`wait=N` (seconds, at most 30) or `respond-async`.")
    ] = None,
) -> Acceptance:
    del prefer, idempotency_key
    return acceptance_of(request)


AcceptanceDep = Annotated[Acceptance, Depends(_acceptance)]
