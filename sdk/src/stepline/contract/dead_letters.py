"""What nobody could work off."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from stepline.contract.base import Answer
from stepline.contract.tasks import TaskError


class DeadLetter(Answer):
    """A message that nobody could work off. `resolution`: what somebody did about it."""

    id: str
    reason: str
    queue: str
    task_id: str | None = None
    task_type: str | None = None
    died_at: datetime
    error: TaskError | None = None
    size_bytes: int
    message: Any = None
    """What the message held, where it can be read; only of a single one."""
    resolution: Literal["replayed", "discarded"] | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    replayed_as: str | None = None


class DeadLetterPage(Answer):
    """Newest first. `next` is an opaque cursor, or None at the end."""

    dead_letters: list[DeadLetter]
    next: str | None
    total: int
    total_capped: bool = False
    limit: int
