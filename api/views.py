"""A task as the API shows it, from Redis while it lives there and from history for good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from stepline.contract import (
    EventKind,
    Links,
    Progress,
    Status,
    Step,
    TaskError,
    TaskResult,
    TaskStatus,
    TaskSummary,
)

from infra.codec import loads, moment
from infra.history.base import AttemptRecord, TaskRecord
from infra.resources import Resources
from infra.state.models import StoredEvent, TaskState, format_event_id
from infra.state.redis import StateUnavailable

MESSAGES = {
    Status.PENDING: "The task waits for a worker.",
    Status.SCHEDULED: "The task waits for its time.",
    Status.RUNNING: "The task is running.",
    Status.RETRYING: "The task failed and will be tried again.",
    Status.SUCCESS: "The task has ended well.",
    Status.FAILURE: "The task has failed.",
    Status.CANCELLED: "The task was cancelled.",
}


def links(task_id: str) -> Links:
    base = f"/tasks/{task_id}"
    return Links(
        self=f"{base}/status",
        status=f"{base}/status",
        result=f"{base}/result",
        events=f"{base}/events",
    )


def fold_steps(handlers: Iterable[str], events: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Where each step is, from the events so far."""
    steps = [
        Step(index=index, handler=handler, status="waiting")
        for index, handler in enumerate(handlers)
    ]
    for event in events:
        index = event.get("index")
        if event["kind"] in (EventKind.CANCELLED, EventKind.FAILED):
            _stop_running(steps, event)
        if index is None or not 0 <= index < len(steps):
            continue
        _apply(steps[index], event)
    return steps


def _stop_running(steps: Iterable[Step], event: Mapping[str, Any]) -> None:
    """A task that was cancelled, or given up with its worker, leaves no step running."""
    for step in steps:
        if step.status == "running":
            cancelled = event["kind"] == EventKind.CANCELLED
            step.status = "cancelled" if cancelled else "failed"
            step.finished_at = moment(event["at"])


def _apply(step: Step, event: Mapping[str, Any]) -> None:
    at = moment(event["at"])
    match event["kind"]:
        case EventKind.STEP_STARTED:
            step.status = "running"
            step.started_at = step.started_at or at
            step.error = None
            step.percent = None
        case EventKind.STEP_PROGRESS:
            step.percent = event.get("percent")
            step.message = event.get("message")
        case EventKind.STEP_COMPLETED:
            step.status, step.finished_at, step.percent = "completed", at, 100.0
        case EventKind.STEP_SKIPPED:
            step.status, step.finished_at = "skipped", at
            step.message = event.get("message")
        case EventKind.STEP_FAILED:
            step.status, step.finished_at = "failed", at
            step.error = task_error(event.get("error"))


def overall_progress(
    steps: list[Step], reported: Mapping[str, Any] | None, status: Status
) -> Progress:
    """A chain's progress counts its steps; that of a single step is what it reports."""
    if len(steps) == 1 and reported:
        if status is Status.SUCCESS:
            total = reported.get("total")
            current = total if total is not None else reported["current"]
            return Progress(
                current=current, total=total, percent=100.0, message=reported.get("message")
            )
        return Progress(**{name: value for name, value in reported.items() if value is not None})
    done = sum(1 for step in steps if step.status in ("completed", "skipped"))
    parts = [step.percent or 0.0 for step in steps if step.status == "running"]
    percent = 100.0 * (done + sum(parts) / 100.0) / len(steps) if steps else None
    running = next((step for step in steps if step.status == "running"), None)
    return Progress(
        current=done,
        total=len(steps),
        percent=None if percent is None else round(percent, 2),
        message=running.message or running.handler if running else None,
    )


def task_error(error: Mapping[str, Any] | None) -> TaskError | None:
    return None if error is None else TaskError.model_validate(error)


async def find(resources: Resources, task_id: str) -> TaskState | TaskRecord | None:
    """The task, live if Redis knows it. With Redis away, history answers; what history does not
    know either may have been accepted a moment ago: `StateUnavailable`, not nothing."""
    try:
        state = await resources.state.get(task_id)
    except StateUnavailable:
        record = await resources.history.get(task_id)
        if record is None:
            raise
        return record
    return state or await resources.history.get(task_id)


async def stored_events(
    resources: Resources, task: TaskState | TaskRecord
) -> list[Mapping[str, Any]]:
    """The task's events as JSON values with their ids, oldest first."""
    if isinstance(task, TaskState):
        events = await resources.state.events(task.id)
        return [{"id": format_event_id(event.id), **loads(event.json)} for event in events]
    return history_events(task, await resources.history.attempts(task.id))


def history_events(task: TaskRecord, attempts: Iterable[AttemptRecord]) -> list[Mapping[str, Any]]:
    """The events that history keeps, with the first one made again."""
    queued = {
        "id": "0-1",
        "task_id": task.id,
        "kind": EventKind.QUEUED.value,
        "attempt": 0,
        "at": task.created_at.isoformat(),
    }
    return [
        queued,
        *({"task_id": task.id, **event} for item in attempts for event in item.events),
    ]


def event_of(entry: Mapping[str, Any], encode: Any) -> StoredEvent:
    """An event of history, as the stream sends it."""
    major, _, minor = entry["id"].partition("-")
    data = {name: value for name, value in entry.items() if name != "id"}
    return StoredEvent((int(major), int(minor)), entry["kind"], encode(data))


def status_view(task: TaskState | TaskRecord, events: Iterable[Mapping[str, Any]]) -> TaskStatus:
    live = isinstance(task, TaskState)
    steps = fold_steps(task.handlers, events)
    reported: Mapping[str, Any] | None = task.progress if isinstance(task, TaskState) else None
    if reported is None and len(steps) == 1:
        reported = _last_progress(events)
    return TaskStatus(
        task_id=task.id,
        task_name=task.name,
        type=task.type,
        status=task.status,
        message=MESSAGES[task.status],
        progress=overall_progress(steps, reported, task.status),
        steps=steps,
        attempt=task.attempt,
        queue=task.queue,
        worker=task.worker if live or task.status != Status.PENDING else None,
        created_at=task.created_at,
        updated_at=task.updated_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        run_at=time_of(task.run_at),
        deadline=time_of(task.deadline),
        retry_of=task.retry_of,
        error=task_error(task.error) if task.status is not Status.SUCCESS else None,
        links=links(task.id),
    )


def _last_progress(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    found = None
    for event in events:
        if event["kind"] == EventKind.STEP_PROGRESS:
            found = event
    if found is None:
        return None
    return {name: found.get(name) for name in ("current", "total", "percent", "message")}


def result_view(task: TaskState | TaskRecord) -> TaskResult:
    failed = task.status is not Status.SUCCESS
    return TaskResult(
        task_id=task.id,
        task_name=task.name,
        type=task.type,
        status=task.status,
        message=MESSAGES[task.status],
        result=task.result,
        error=task_error(task.error) if failed else None,
    )


def summary(record: TaskRecord, live: TaskState | None) -> TaskSummary:
    """A row of the list: history's, with what Redis knows newer of one that has not ended."""
    source: TaskRecord | TaskState = record
    if live is not None and not record.status.ended:
        source = live
    return TaskSummary(
        task_id=record.id,
        task_name=record.name,
        type=record.type,
        queue=record.queue,
        status=source.status,
        created_at=record.created_at,
        updated_at=_newest(record.updated_at, source.updated_at),
        started_at=source.started_at,
        finished_at=source.finished_at,
        run_at=record.run_at,
        retry_of=record.retry_of,
    )


def time_of(moment: datetime | float | None) -> datetime | None:
    """History keeps times, the state epoch seconds."""
    if isinstance(moment, float):
        return datetime.fromtimestamp(moment, UTC) if moment else None
    return moment


def _newest(*moments: datetime) -> datetime:
    return max(moments)
