"""`GET /tasks/*`: what has become of the work."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from stepline.contract import (
    ActiveTask,
    ActiveTasks,
    Status,
    TaskDetail,
    TaskPage,
    TaskResult,
    TaskStatus,
    WorkerInfo,
)

from api.cursor import read_cursor, write_cursor
from api.deps import ResourcesDep
from api.errors import RETRY_AFTER, not_found, responses
from api.task_detail import detail
from api.times import utc
from api.views import find, result_view, status_view, stored_events, summary
from infra.history.base import TaskFilter
from infra.resources import Resources
from infra.state.models import TaskState
from infra.state.redis import StateUnavailable

router = APIRouter(prefix="/tasks", tags=["tasks"])


@router.get("/", responses=responses(422, 503))
async def list_tasks(
    *,
    resources: ResourcesDep,
    status: Status | None = None,
    type: Annotated[str | None, Query(max_length=100)] = None,  # noqa: A002
    queue: Annotated[str | None, Query(max_length=100)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
    worker: Annotated[str | None, Query(max_length=200, description="Who ran it last.")] = None,
    fingerprint: Annotated[
        str | None, Query(max_length=16, description="A group of `GET /failures`.")
    ] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> TaskPage:
    """All tasks, newest first, from the history. `next` is the cursor of the next page."""
    where = TaskFilter(
        status,
        type,
        queue,
        utc(since, "since"),
        utc(until, "until"),
        text,
        worker=worker,
        fingerprint=fingerprint,
    )
    after = None if cursor is None else read_cursor(cursor)
    page = await resources.history.list_tasks(where, after=after, limit=limit)
    unfinished = [task.id for task in page.tasks if not task.status.ended]
    live = dict(zip(unfinished, await _live(resources, unfinished), strict=True))
    return TaskPage(
        tasks=[summary(task, live.get(task.id)) for task in page.tasks],
        next=None if page.next is None else write_cursor(page.next),
        total=page.total,
        total_capped=page.total_capped,
        limit=limit,
    )


async def _live(resources: Resources, task_ids: list[str]) -> list[TaskState | None]:
    """What Redis knows of them; nothing while it is away."""
    try:
        return await resources.state.get_many(task_ids)
    except StateUnavailable:
        return [None] * len(task_ids)


@router.get("/active", responses=responses(503))
async def active_tasks(resources: ResourcesDep) -> ActiveTasks:
    """What the workers are doing now."""
    workers = await resources.workers.all()
    held = {task_id: worker.id for worker in workers for task_id in worker.active}
    states = await resources.state.get_many(list(held))
    active = [
        ActiveTask(
            task_id=state.id,
            task_name=state.name,
            type=state.type,
            worker=state.holder or held[state.id],
            started_at=state.started_at,
            step=state.handlers[state.step] if state.step is not None else None,
            percent=(state.progress or {}).get("percent"),
        )
        for state in states
        if state is not None and state.status is Status.RUNNING
    ]
    return ActiveTasks(
        active_tasks=active,
        total=len(active),
        workers=[
            WorkerInfo(
                id=worker.id,
                host=worker.host,
                pid=worker.pid,
                version=worker.version,
                queues=worker.queues,
                started_at=worker.started_at,
                active=len(worker.active),
            )
            for worker in workers
        ],
    )


@router.get("/{task_id}", responses=responses(404, 503))
async def whole_task(task_id: str, resources: ResourcesDep) -> TaskDetail:
    """The whole task in one answer: what was asked, what came of it, each attempt with its steps,
    outputs, events and error, the log lines of its handlers, and why it waits, if it does."""
    task = await find(resources, task_id)
    if task is None:
        raise not_found("task", task_id)
    return await detail(resources, task)


@router.get("/{task_id}/status", responses=responses(404, 503))
async def task_status(task_id: str, resources: ResourcesDep) -> TaskStatus:
    """All about one task but its result."""
    task = await find(resources, task_id)
    if task is None:
        raise not_found("task", task_id)
    return status_view(task, await stored_events(resources, task))


@router.get(
    "/{task_id}/result",
    response_model=TaskResult,
    responses={202: {"model": TaskResult, "description": "Not yet."}, **responses(404, 503)},
)
async def task_result(task_id: str, resources: ResourcesDep) -> Response:
    """How the task ended: 200 with its result or error; 202 before."""
    task = await find(resources, task_id)
    if task is None:
        raise not_found("task", task_id)
    body = result_view(task).model_dump(mode="json")
    if task.status.ended:
        return JSONResponse(body)
    return JSONResponse(body, 202, headers={"Retry-After": str(RETRY_AFTER)})
