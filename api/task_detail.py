"""`GET /tasks/{id}`: everything that Redis and history know of one task, brought together."""

from __future__ import annotations

from stepline.contract import TaskDetail, Waiting

from api.task_view import Outputs, attempt_views, log_lines, recorded_outputs, stored_outputs
from api.views import history_events, status_view, stored_events
from api.waiting import why_waiting
from infra.history.base import HistoryUnavailable, TaskRecord
from infra.resources import Resources
from infra.state.models import TaskState
from infra.state.redis import StateUnavailable


async def detail(resources: Resources, task: TaskState | TaskRecord) -> TaskDetail:
    """The task as a whole; what only history knows is left out while it does not answer."""
    outputs: Outputs
    if isinstance(task, TaskState):
        events = await stored_events(resources, task)
        outputs = stored_outputs(await resources.state.steps(task.id))
    else:
        attempts = await resources.history.attempts(task.id)
        events = history_events(task, attempts)
        outputs = recorded_outputs(item for attempt in attempts for item in attempt.outputs)
    record, retried_by = await _recorded(resources, task)
    status = status_view(task, events)
    return TaskDetail(
        **{name: getattr(status, name) for name in type(status).model_fields},
        payload=None if record is None else record.payload,
        result=task.result,
        handlers=task.handlers,
        attempts=attempt_views(task.handlers, events, outputs, ended=task.status.ended),
        logs=log_lines(events),
        retried_by=retried_by,
        waiting=await _waiting(resources, task),
        recorded=record is not None,
    )


async def _recorded(
    resources: Resources, task: TaskState | TaskRecord
) -> tuple[TaskRecord | None, list[str]]:
    """The task's row (only there is its payload), and the tasks that were made from it."""
    try:
        known = task if isinstance(task, TaskRecord) else await resources.history.get(task.id)
        return known, await resources.history.retries_of(task.id)
    except HistoryUnavailable:
        return None, []


async def _waiting(resources: Resources, task: TaskState | TaskRecord) -> Waiting | None:
    """Nothing is said rather than something wrong while Redis is away."""
    try:
        return await why_waiting(resources, task)
    except StateUnavailable:
        return None
