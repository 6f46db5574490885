"""Answering a submission: 202 at once, 200 when it ended within the wait, or its own stream."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from stepline.contract import Accepted, Status

from api.errors import RETRY_AFTER
from api.prefer import Preference, parse_prefer
from api.streaming import HEADERS as STREAM_HEADERS
from api.streaming import event_stream
from api.submission import Submitter
from api.views import MESSAGES, find, links, task_error
from infra.codec import dumps
from infra.envelope import Envelope
from infra.resources import Resources
from infra.state.hub import Watcher
from infra.state.models import FIRST, TaskState

EVENT_STREAM = "text/event-stream"


async def accept(
    request: Request,
    resources: Resources,
    submitter: Submitter,
    envelope: Envelope,
    *,
    default_wait: float = 0.0,
    estimated_duration: int | None = None,
) -> Response:
    """Submit, and answer as the client prefers."""
    preference = parse_prefer(request.headers.getlist("prefer"), default_wait)
    task_id = envelope.tasks[0].id
    if EVENT_STREAM in request.headers.get("accept", ""):
        await submitter.submit(envelope)
        return StreamingResponse(
            event_stream(resources, task_id, FIRST),
            media_type=EVENT_STREAM,
            headers=STREAM_HEADERS | {"Location": links(task_id).status},
        )
    async with AsyncExitStack() as stack:
        watcher = None
        if preference.wait:
            watcher = await stack.enter_async_context(resources.hub.watch(task_id))
        await submitter.submit(envelope)
        ended = await _wait(resources, task_id, watcher, preference.wait) if watcher else None
    return _answer(envelope, ended, preference, estimated_duration)


async def _wait(
    resources: Resources, task_id: str, watcher: Watcher, seconds: float
) -> TaskState | None:
    """The task once it has ended; None if it has not within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                live = await watcher.next()
                if live is not None and not live.event.terminal:
                    continue
                task = await find(resources, task_id)
                if isinstance(task, TaskState) and task.status.ended:
                    return task
                if watcher.closed:
                    return None
    except TimeoutError:
        return None


def _answer(
    envelope: Envelope,
    ended: TaskState | None,
    preference: Preference,
    estimated_duration: int | None,
) -> Response:
    (task,) = envelope.tasks
    status = ended.status if ended else Status.PENDING
    body = Accepted(
        task_id=task.id,
        task_name=task.name,
        type=task.type,
        status=status,
        message=MESSAGES[status] if ended else "The task was accepted.",
        queue=envelope.queue,
        links=links(task.id),
        estimated_duration=estimated_duration,
        result=ended.result if ended else None,
        error=task_error(ended.error) if ended and status is not Status.SUCCESS else None,
    )
    headers: dict[str, str] = {"Location": body.links.status}
    if preference.applied:
        headers["Preference-Applied"] = preference.applied
    if ended is None:
        headers["Retry-After"] = str(RETRY_AFTER)
    content: dict[str, Any] = body.model_dump(mode="json", exclude_none=True)
    return Response(
        dumps(content),
        status_code=200 if ended else 202,
        media_type="application/json",
        headers=headers,
    )
