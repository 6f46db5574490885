"""Stepline's SDK: submit work, watch every step, write handlers.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepline.authoring import Context, Handler, RetryPolicy, TaskType, handler, task_type
    from stepline.client import Client, Task
    from stepline.contract import Event, EventKind, Status, TaskResult, TaskStatus
    from stepline.errors import (
        APIError,
        BadRequest,
        ClientError,
        Conflict,
        ConnectionFailed,
        InvalidAnswer,
        NotFound,
        Reject,
        Retry,
        ServerError,
        SteplineError,
        TaskCancelled,
        TaskFailed,
        Unauthorized,
        Unavailable,
        WaitTimeout,
    )

__all__ = [
    "APIError",
    "BadRequest",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Context",
    "Event",
    "EventKind",
    "Handler",
    "InvalidAnswer",
    "NotFound",
    "Reject",
    "Retry",
    "RetryPolicy",
    "ServerError",
    "Status",
    "SteplineError",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "TaskResult",
    "TaskStatus",
    "TaskType",
    "Unauthorized",
    "Unavailable",
    "WaitTimeout",
    "handler",
    "task_type",
]

_HOMES = {
    "stepline.authoring": {
        "Context",
        "Handler",
        "RetryPolicy",
        "TaskType",
        "handler",
        "task_type",
    },
    "stepline.client": {"Client", "Task"},
    "stepline.contract": {"Event", "EventKind", "Status", "TaskResult", "TaskStatus"},
}
"""Where what is not in `stepline.errors` is."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stepline' has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "stepline.errors")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
