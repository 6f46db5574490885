"""`GET /events`: what happens to all tasks, as Server-Sent Events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from stepline.contract import Status

from api.deps import ResourcesDep
from api.errors import responses
from api.feed import NOWHERE, FeedFilter, FeedViewer
from api.viewer import EventStream
from infra.state.feed import BEGINNING, FeedId, parse_feed_id

router = APIRouter(tags=["events"])


@router.get(
    "/events",
    status_code=200,  # FastAPI would look for it in the class
    response_class=EventStream,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "The events, as they happen."},
        **responses(422, 503),
    },
)
async def all_events(
    *,
    resources: ResourcesDep,
    type: Annotated[str | None, Query(max_length=100)] = None,  # noqa: A002
    queue: Annotated[str | None, Query(max_length=100)] = None,
    status: Annotated[Status | None, Query(description="What the task is after the event.")] = None,
    last_event_id_header: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Go on after this event.")
    ] = None,
    after: Annotated[
        str | None,
        Query(description="The same, for clients that cannot set headers; `0`: all that is kept."),
    ] = None,
) -> Response:
    """From now on, or after `Last-Event-ID`. The last some ten thousand writes are kept; a reader
    that was away for longer gets `event: reset` with the newest tasks, then what follows."""
    resume = last_event_id_header if last_event_id_header is not None else after
    return EventStream(FeedViewer(resources, FeedFilter(type, queue, status), _position(resume)))


def _position(resume: str | None) -> FeedId | None:
    if not resume:
        return None
    if resume == "0":
        return BEGINNING
    try:
        return parse_feed_id(resume)
    except ValueError:
        return NOWHERE
