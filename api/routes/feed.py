"""`GET /events`: what happens to all tasks, as Server-Sent Events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from stepline.contract import Status

from api.deps import ResourcesDep
from api.errors import responses
from api.feed import FeedFilter, feed_stream
from api.streaming import HEADERS
from infra.resources import Resources
from infra.state.feed import FeedId, parse_feed_id

router = APIRouter(tags=["events"])


@router.get(
    "/events",
    response_class=StreamingResponse,
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
    start, reset = await _start(resources, resume)
    return StreamingResponse(
        feed_stream(resources, FeedFilter(type, queue, status), start, reset=reset),
        media_type="text/event-stream",
        headers=HEADERS,
    )


async def _start(resources: Resources, resume: str | None) -> tuple[FeedId | None, bool]:
    """Where to go on, and whether what was asked for is not to be had."""
    if not resume:
        await resources.state.ping()  # a 503 is told now, not within the stream
        return None, False
    if resume == "0":
        return (0, 0, 0), False
    try:
        start = parse_feed_id(resume)
    except ValueError:
        return None, True
    first, last = await resources.feed.first(), await resources.feed.last()
    known = first is not None and first <= start <= last
    return start, not known
