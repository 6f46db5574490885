"""Why is it waiting? The first of the reasons that holds, in the order in which they would end."""

from __future__ import annotations

from datetime import datetime

from stepline.contract import Status, Waiting

from api.views import time_of
from infra.codec import moment as moment_of
from infra.codec import now
from infra.history.base import AHEAD_CAP, HistoryUnavailable, TaskRecord
from infra.resources import Resources
from infra.state.liveness import taking
from infra.state.models import TaskState


async def why_waiting(resources: Resources, task: TaskState | TaskRecord) -> Waiting | None:
    """None of a task that runs or has ended."""
    if task.status.ended or task.status is Status.RUNNING:
        return None
    moment = now()
    run_at = time_of(task.run_at)
    if task.status is Status.SCHEDULED and run_at is not None and run_at > moment:
        return Waiting(
            reason="scheduled",
            message="It waits for its time.",
            since=task.created_at,
            until=run_at,
        )
    again = time_of(task.not_before) if isinstance(task, TaskState) else None
    if task.status is Status.RETRYING and again is not None and again > moment:
        return Waiting(
            reason="retrying",
            message="An attempt failed; the next one waits for its time.",
            since=task.updated_at,
            until=again,
        )
    since = max(task.created_at, run_at or task.created_at, again or task.created_at)
    return await _in_the_queue(resources, task, since)


async def _in_the_queue(
    resources: Resources, task: TaskState | TaskRecord, since: datetime
) -> Waiting:
    """It could run now."""
    standing = await resources.controls.standing()
    if (pause := standing.paused.get(task.queue)) is not None:
        because = f": {pause.reason}" if pause.reason else "."
        return Waiting(
            reason="queue_paused",
            message=f"{pause.by} has paused {task.queue}{because}",
            since=max(since, moment_of(pause.at)),
        )
    workers = await resources.workers.all()
    if not any(standing.lets_take(worker.id, task.queue) for worker in taking(workers, task.queue)):
        return Waiting(
            reason="no_worker",
            message=f"No worker that lives takes from {task.queue}: start or undrain one.",
            since=since,
        )
    try:
        ahead = await resources.history.count_ahead(task.queue, task.id)
    except HistoryUnavailable:
        return Waiting(reason="queued", message=f"It waits in {task.queue}.", since=since)
    capped = ahead >= AHEAD_CAP
    return Waiting(
        reason="queued",
        message=f"{'At least ' if capped else ''}{ahead} of {task.queue} came before it.",
        since=since,
        ahead=ahead,
        ahead_capped=capped,
    )
