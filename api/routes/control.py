"""`POST /tasks/{id}/cancel` and `retry`: what people do to a task."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response
from fastapi.responses import JSONResponse
from stepline.contract import (
    Accepted,
    Cancellation,
    CancelRequest,
    Released,
    RetryRequest,
    Status,
)

from api.accept import AcceptanceDep
from api.body import StrictRoute
from api.deps import CallerDep, RegistryDep, ResourcesDep
from api.errors import RETRY_AFTER, responses
from api.routes.submit import ANSWERS
from api.views import links
from infra.actions.cancel import cancel
from infra.actions.retry import draft_retry
from infra.actions.run_now import run_now
from infra.cancellation import Cancellation as Order
from infra.codec import now, timestamp

router = APIRouter(prefix="/tasks", tags=["control"], route_class=StrictRoute)

TOLD = {
    Status.CANCELLED: "The task was cancelled.",
    Status.RUNNING: "The task is running; its worker has been told to stop it.",
}


@router.post(
    "/{task_id}/cancel",
    response_model=Cancellation,
    responses={
        202: {"model": Cancellation, "description": "It is running, and will be cancelled."},
        **responses(400, 404, 409, 413, 415, 422, 503),
    },
)
async def cancel_task(
    task_id: str,
    resources: ResourcesDep,
    caller: CallerDep,
    body: Annotated[CancelRequest | None, Body()] = None,
) -> Response:
    """Cancel a task: one that waits ends now (200); of one that runs, the handlers are stopped
    within a second (202). 409 if it has ended already."""
    order = Order(caller, timestamp(now()), body.reason if body is not None else None)
    status = await cancel(resources, task_id, order)
    answer = Cancellation(
        task_id=task_id, status=status, message=TOLD[status], links=links(task_id)
    ).model_dump(mode="json")
    if status is Status.CANCELLED:
        return JSONResponse(answer)
    return JSONResponse(answer, 202, headers={"Retry-After": str(RETRY_AFTER)})


@router.post(
    "/{task_id}/retry",
    status_code=202,
    response_model=Accepted,
    responses=ANSWERS | responses(404),
)
async def retry_task(
    task_id: str,
    resources: ResourcesDep,
    registry: RegistryDep,
    accept: AcceptanceDep,
    body: Annotated[RetryRequest | None, Body()] = None,
) -> Response:
    """A new task from an ended one, linked by `retry_of`: from the first step, or from a later one
    with the earlier ones' outputs taken over; with the same payload, or with another."""
    asked = body or RetryRequest()
    drafted = await draft_retry(
        resources,
        registry,
        resources.settings.routes,
        task_id,
        from_step=asked.from_step,
        payload=asked.payload,
    )
    return await accept.drafted(drafted.envelope, drafted.inherited)


@router.post("/{task_id}/run-now", responses=responses(404, 409, 422, 503))
async def run_task_now(task_id: str, resources: ResourcesDep) -> Released:
    """Let a deferred task run now, in the place of its time. 409 if it does not wait for one."""
    await run_now(resources, task_id)
    return Released(
        task_id=task_id,
        status=Status.PENDING,
        message="The task waits for a worker.",
        links=links(task_id),
    )
