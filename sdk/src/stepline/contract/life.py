"""Where a task is, and what happens to it."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a task is in its life."""

    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        return self in ENDED


ENDED = frozenset({Status.SUCCESS, Status.FAILURE, Status.CANCELLED})


class EventKind(StrEnum):
    """One line in a task's life; also the `event:` field on the wire."""

    QUEUED = "queued"
    STARTED = "started"
    STEP_STARTED = "step.started"
    STEP_PROGRESS = "step.progress"
    STEP_COMPLETED = "step.completed"
    STEP_SKIPPED = "step.skipped"
    STEP_FAILED = "step.failed"
    STEP_OUTPUT = "step.output"
    LOG = "log"
    RETRY_SCHEDULED = "retry.scheduled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RESET = "reset"
    """Not of the task's life, but of its stream: events were missed, here is a snapshot."""

    @property
    def terminal(self) -> bool:
        return self in (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED)


class ServiceEventKind(StrEnum):
    """What happens to the service itself; told in the feed of all tasks, and in no task's own."""

    QUEUE_PAUSED = "queue.paused"
    QUEUE_RESUMED = "queue.resumed"
    WORKER_DRAINING = "worker.draining"
    WORKER_UNDRAINED = "worker.undrained"
