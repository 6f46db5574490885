"""Tasks as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from stepline.contract.base import Answer
from stepline.contract.life import Status


class Links(Answer):
    """Where to look next, as paths."""

    self: str
    status: str
    result: str
    events: str


class TaskError(Answer):
    """Why a task did not succeed. `code` is stable."""

    code: str
    message: str
    handler: str | None = None
    details: dict[str, Any] = Field(default={})


class Accepted(Answer):
    """A task was taken on. With `result` or `error` when it ended within the wait."""

    task_id: str
    task_name: str | None = None
    type: str
    status: Status
    message: str
    queue: str
    links: Links
    estimated_duration: int | None = None
    run_at: datetime | None = None
    retry_of: str | None = None
    result: Any = None
    error: TaskError | None = None


class Progress(Answer):
    """How far the task is: `percent` is 0…100."""

    current: float
    total: float | None = None
    percent: float | None = None
    message: str | None = None


class Step(Answer):
    """One handler of the chain and where it is. Skipped: another task's output was taken over."""

    index: int
    handler: str
    status: Literal["waiting", "running", "completed", "skipped", "failed", "cancelled"]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    percent: float | None = None
    message: str | None = None
    error: TaskError | None = None


class TaskStatus(Answer):
    """All about a task but its result."""

    task_id: str
    task_name: str | None = None
    type: str
    status: Status
    message: str
    progress: Progress
    steps: list[Step]
    attempt: int
    queue: str
    worker: str | None = None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    run_at: datetime | None = None
    deadline: datetime | None = None
    retry_of: str | None = None
    error: TaskError | None = None
    links: Links


class TaskResult(Answer):
    """How a task ended."""

    task_id: str
    task_name: str | None = None
    type: str
    status: Status
    message: str
    result: Any = None
    error: TaskError | None = None


class TaskSummary(Answer):
    """A task as a row of a list."""

    task_id: str
    task_name: str | None = None
    type: str
    queue: str
    status: Status
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    run_at: datetime | None = None
    retry_of: str | None = None


class TaskPage(Answer):
    """Newest first. `next` is an opaque cursor, or None at the end. `total`: how many match, of all
    pages (at most 1,000 are counted; then `total_capped`)."""

    tasks: list[TaskSummary]
    next: str | None
    total: int
    total_capped: bool = False
    limit: int


class ActiveTask(Answer):
    """A task that a worker is running now."""

    task_id: str
    task_name: str | None = None
    type: str
    worker: str
    started_at: datetime | None = None
    step: str | None = None
    percent: float | None = None


class WorkerInfo(Answer):
    """A worker process that beats."""

    id: str
    host: str
    pid: int
    version: str
    queues: list[str]
    started_at: datetime
    active: int


class ActiveTasks(Answer):
    """What the workers are doing."""

    active_tasks: list[ActiveTask]
    total: int
    workers: list[WorkerInfo]
