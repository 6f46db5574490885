"""Which task a line of the log is about: one value that is set once a task, and read by lines only.

structlog's own context variables are one each, which for three of them takes longer than a small
task's handler.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from structlog.typing import EventDict, WrappedLogger


@dataclass(slots=True)
class LogContext:
    """The task whose code runs, and the step that it has come to."""

    task_id: str
    attempt: int
    handler: str | None = None


log_context: ContextVar[LogContext | None] = ContextVar("stepline_log_context", default=None)


def add_log_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: what a line says itself goes before."""
    context = log_context.get()
    if context is not None:
        event.setdefault("task_id", context.task_id)
        event.setdefault("attempt", context.attempt)
        if context.handler is not None:
            event.setdefault("handler", context.handler)
    return event
