"""A task's events, each kind a model of its own: match on the class, or on `kind`.

Every event has `id` (`attempt-seq`; in the feed of all tasks `ms-n:place`), `task_id`, `attempt`
and `at`. In the feed it also tells the task's `type` and `queue`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from stepline.contract.base import Answer
from stepline.contract.life import EventKind, ServiceEventKind
from stepline.contract.tasks import TaskError, TaskPage, TaskStatus


class BaseEvent(Answer):
    """What every event has. `id` is what to resume after."""

    id: str = ""
    task_id: str
    attempt: int
    at: datetime
    type: str | None = None
    queue: str | None = None
    message: str | None = None

    @property
    def terminal(self) -> bool:
        """Is it the task's last?"""
        return False


class Queued(BaseEvent):
    """The task was accepted. The first event."""

    kind: Literal[EventKind.QUEUED] = EventKind.QUEUED


class Started(BaseEvent):
    """A worker took the task on: an attempt begins."""

    kind: Literal[EventKind.STARTED] = EventKind.STARTED
    worker: str | None = None


class StepEvent(BaseEvent):
    """What every event of a step has: the handler's name, and its place in the chain from 0."""

    handler: str
    index: int


class StepStarted(StepEvent):
    """A step begins. `total`: how many steps the chain has."""

    kind: Literal[EventKind.STEP_STARTED] = EventKind.STEP_STARTED
    total: int = 1


class StepProgress(StepEvent):
    """How far a step is: `current` of `total`, and `percent` 0…100 if there is a total."""

    kind: Literal[EventKind.STEP_PROGRESS] = EventKind.STEP_PROGRESS
    current: float = 0.0
    total: float | None = None
    percent: float | None = None


class StepCompleted(StepEvent):
    """A step has ended well, and its output is kept."""

    kind: Literal[EventKind.STEP_COMPLETED] = EventKind.STEP_COMPLETED


class StepSkipped(StepEvent):
    """A step was left out: by its own condition, or its output was there already."""

    kind: Literal[EventKind.STEP_SKIPPED] = EventKind.STEP_SKIPPED


class StepFailed(StepEvent):
    """A step has failed. Whether it is tried again, the next event tells."""

    kind: Literal[EventKind.STEP_FAILED] = EventKind.STEP_FAILED
    error: TaskError | None = None


class StepOutput(StepEvent):
    """A piece of output that a step streams (`ctx.emit`), in order."""

    kind: Literal[EventKind.STEP_OUTPUT] = EventKind.STEP_OUTPUT
    data: Any = None


class LogLine(StepEvent):
    """A line that a step wrote for whoever watches (`ctx.log`), with its fields in `data`."""

    kind: Literal[EventKind.LOG] = EventKind.LOG
    data: dict[str, Any] | None = None


class RetryScheduled(BaseEvent):
    """The task will be tried again; `data.delay` is in how many seconds."""

    kind: Literal[EventKind.RETRY_SCHEDULED] = EventKind.RETRY_SCHEDULED
    handler: str | None = None
    error: TaskError | None = None
    data: dict[str, Any] | None = None


class EndEvent(BaseEvent):
    """What the last events have in common."""

    @property
    def terminal(self) -> bool:
        return True


class Succeeded(EndEvent):
    """The task has ended well: its result can be read."""

    kind: Literal[EventKind.SUCCEEDED] = EventKind.SUCCEEDED


class Failed(EndEvent):
    """The task has failed for good."""

    kind: Literal[EventKind.FAILED] = EventKind.FAILED
    handler: str | None = None
    error: TaskError | None = None


class Cancelled(EndEvent):
    """The task was cancelled."""

    kind: Literal[EventKind.CANCELLED] = EventKind.CANCELLED
    handler: str | None = None
    error: TaskError | None = None


class Reset(Answer):
    """Events were missed that are not kept any more: `snapshot` is where the task is now, and the
    stream goes on from there."""

    kind: Literal[EventKind.RESET] = EventKind.RESET
    id: str = ""
    snapshot: TaskStatus

    @property
    def terminal(self) -> bool:
        return self.snapshot.status.ended


class FeedReset(Answer):
    """Events of the feed were missed that are not kept any more: `snapshot` has the newest
    tasks, and the feed goes on from there."""

    kind: Literal[EventKind.RESET] = EventKind.RESET
    id: str = ""
    snapshot: TaskPage

    @property
    def terminal(self) -> bool:
        return False


class BaseServiceEvent(Answer):
    """What every event of the service itself has: who ordered it, when and why."""

    id: str = ""
    at: datetime
    by: str
    reason: str | None = None

    @property
    def terminal(self) -> bool:
        return False


class QueuePaused(BaseServiceEvent):
    """No worker takes from the queue any more."""

    kind: Literal[ServiceEventKind.QUEUE_PAUSED] = ServiceEventKind.QUEUE_PAUSED
    queue: str


class QueueResumed(BaseServiceEvent):
    """The workers take from the queue again."""

    kind: Literal[ServiceEventKind.QUEUE_RESUMED] = ServiceEventKind.QUEUE_RESUMED
    queue: str


class WorkerDraining(BaseServiceEvent):
    """A worker takes nothing new any more."""

    kind: Literal[ServiceEventKind.WORKER_DRAINING] = ServiceEventKind.WORKER_DRAINING
    worker: str


class WorkerUndrained(BaseServiceEvent):
    """A worker takes tasks again."""

    kind: Literal[ServiceEventKind.WORKER_UNDRAINED] = ServiceEventKind.WORKER_UNDRAINED
    worker: str


TaskEvent: TypeAlias = (
    Queued
    | Started
    | StepStarted
    | StepProgress
    | StepCompleted
    | StepSkipped
    | StepFailed
    | StepOutput
    | LogLine
    | RetryScheduled
    | Succeeded
    | Failed
    | Cancelled
)
"""What can happen to a task."""

Event: TypeAlias = Annotated[TaskEvent | Reset, Field(discriminator="kind")]
"""What a task's stream gives."""

ServiceEvent: TypeAlias = QueuePaused | QueueResumed | WorkerDraining | WorkerUndrained
"""What can happen to the service itself."""

FeedEvent: TypeAlias = Annotated[TaskEvent | ServiceEvent | FeedReset, Field(discriminator="kind")]
"""What the stream of all tasks gives."""

MODELS: dict[str, type[TaskEvent]] = {
    EventKind.QUEUED: Queued,
    EventKind.STARTED: Started,
    EventKind.STEP_STARTED: StepStarted,
    EventKind.STEP_PROGRESS: StepProgress,
    EventKind.STEP_COMPLETED: StepCompleted,
    EventKind.STEP_SKIPPED: StepSkipped,
    EventKind.STEP_FAILED: StepFailed,
    EventKind.STEP_OUTPUT: StepOutput,
    EventKind.LOG: LogLine,
    EventKind.RETRY_SCHEDULED: RetryScheduled,
    EventKind.SUCCEEDED: Succeeded,
    EventKind.FAILED: Failed,
    EventKind.CANCELLED: Cancelled,
}
"""The model of each kind."""

SERVICE_MODELS: dict[str, type[ServiceEvent]] = {
    ServiceEventKind.QUEUE_PAUSED: QueuePaused,
    ServiceEventKind.QUEUE_RESUMED: QueueResumed,
    ServiceEventKind.WORKER_DRAINING: WorkerDraining,
    ServiceEventKind.WORKER_UNDRAINED: WorkerUndrained,
}


def parse_feed_event(
    kind: str, data: str | bytes, event_id: str
) -> TaskEvent | ServiceEvent | None:
    """As `parse_event`, of the feed of all tasks."""
    model = SERVICE_MODELS.get(kind)
    if model is None:
        return parse_event(kind, data, event_id)
    event = model.model_validate_json(data)
    event.id = event_id
    return event


def parse_event(kind: str, data: str | bytes, event_id: str) -> TaskEvent | None:
    """One event off the wire; None of a kind that this version does not know. Raises pydantic's
    `ValidationError` for data that is none."""
    model = MODELS.get(kind)
    if model is None:
        return None
    event = model.model_validate_json(data)
    event.id = event_id
    return event
