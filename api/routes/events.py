"""`GET /tasks/{id}/events`: a task's life as Server-Sent Events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from api.deps import ResourcesDep
from api.errors import not_found, responses
from api.streaming import NOWHERE, TaskViewer, last_event_id
from api.viewer import EventStream
from api.views import find
from infra.state.models import FIRST, parse_event_id

router = APIRouter(prefix="/tasks", tags=["events"])


@router.get(
    "/{task_id}/events",
    status_code=200,  # FastAPI would look for it in the class
    response_class=EventStream,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "The events, as they happen."},
        204: {"description": "The task has ended, and the client has seen its last event."},
        **responses(404, 503),
    },
)
async def task_events(
    task_id: str,
    resources: ResourcesDep,
    last_event_id_header: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Go on after this event.")
    ] = None,
    after: Annotated[
        str | None, Query(description="The same, for clients that cannot set headers.")
    ] = None,
) -> Response:
    """Replays the events after `Last-Event-ID` (or all), goes on live, ends with the task. An id
    that is not kept gets `event: reset` with a snapshot, then what follows."""
    task = await find(resources, task_id)
    if task is None:
        raise not_found("task", task_id)
    resume = last_event_id_header if last_event_id_header is not None else after
    try:
        start = parse_event_id(resume) if resume else FIRST
    except ValueError:
        start = NOWHERE
    if task.status.ended and start == last_event_id(task):
        return Response(status_code=204)
    return EventStream(TaskViewer(resources, task_id, start))
