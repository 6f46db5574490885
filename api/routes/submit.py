"""`POST /tasks/*`: one endpoint for each built-in task type."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from stepline.contract import (
    Accepted,
    BatchRequest,
    EmailRequest,
    FetchRequest,
    LongRequest,
    QuickRequest,
)

from api.accept import AcceptanceDep
from api.errors import responses
from api.submit_route import SubmitRoute

router = APIRouter(prefix="/tasks", tags=["submit"], route_class=SubmitRoute)

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Accepted, "description": "The task ended within the wait."},
    **responses(400, 401, 409, 413, 415, 422, 503),
}
QUICK_WAIT = 1.0
"""Seconds that a quick task is waited for, unless the client prefers otherwise."""


@router.post("/long", status_code=202, response_model=Accepted, responses=ANSWERS)
async def submit_long(body: LongRequest, accept: AcceptanceDep) -> Response:
    """Long work whose progress shows each second."""
    return await accept("long", body, estimated_duration=body.duration)


@router.post("/quick", status_code=202, response_model=Accepted, responses=ANSWERS)
async def submit_quick(body: QuickRequest, accept: AcceptanceDep) -> Response:
    """Figures of some numbers; waits up to a second for the result."""
    return await accept("quick", body, default_wait=QUICK_WAIT)


@router.post("/email", status_code=202, response_model=Accepted, responses=ANSWERS)
async def submit_email(body: EmailRequest, accept: AcceptanceDep) -> Response:
    """One mail, by SMTP or into the outbox."""
    return await accept("email", body)


@router.post("/batch", status_code=202, response_model=Accepted, responses=ANSWERS)
async def submit_batch(body: BatchRequest, accept: AcceptanceDep) -> Response:
    """Some users, one after the other."""
    return await accept("batch", body)


@router.post("/api-fetch", status_code=202, response_model=Accepted, responses=ANSWERS)
async def submit_fetch(body: FetchRequest, accept: AcceptanceDep) -> Response:
    """Some addresses, fetched concurrently and guarded."""
    return await accept("api_fetch", body)
