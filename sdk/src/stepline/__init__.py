"""Stepline's SDK: submit work, watch every step, write handlers."""

from stepline.authoring import Context, Handler, RetryPolicy, TaskType, handler, task_type
from stepline.client import Client, Task
from stepline.contract import Event, EventKind, Status, TaskResult, TaskStatus
from stepline.errors import Reject, Retry, SteplineError, TaskFailed, WaitTimeout

__all__ = [
    "Client",
    "Context",
    "Event",
    "EventKind",
    "Handler",
    "Reject",
    "Retry",
    "RetryPolicy",
    "Status",
    "SteplineError",
    "Task",
    "TaskFailed",
    "TaskResult",
    "TaskStatus",
    "TaskType",
    "WaitTimeout",
    "handler",
    "task_type",
]
