"""The deployment itself: its types, its tickets, its demonstrations."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from stepline.contract.base import Answer
from stepline.contract.tasks import Links


class TaskTypeInfo(Answer):
    """A type that can be submitted: where, what a submission looks like, what runs."""

    name: str
    description: str
    path: str
    queue: str
    handlers: list[str]
    json_schema: dict[str, Any]
    schedule: str | None = None
    timezone: str | None = None


class TaskTypes(Answer):
    """All types of a deployment."""

    task_types: list[TaskTypeInfo]


class Ticket(Answer):
    """Opens one stream, once, until `expires_at`."""

    ticket: str
    expires_at: datetime


class DemoTask(Answer):
    """One task that a demonstration submitted."""

    type: str
    task_id: str
    description: str
    links: Links


class DemoTasks(Answer):
    """What a demonstration submitted."""

    total_tasks: int
    tasks: list[DemoTask]


class PartHealth(Answer):
    """How one part of the service is: `up`, or `down` with why in `detail`."""

    status: Literal["up", "down"]
    detail: str | None = None
    latency_ms: float | None = None
    count: int | None = None
    """Of workers: how many are alive."""
    names: list[str] | None = None


class Health(Answer):
    """How the service is, part by part."""

    status: Literal["healthy", "unhealthy"]
    version: str
    down: list[str]
    checks: dict[str, PartHealth]
    paused_queues: list[str] = Field(default=[])
    draining_workers: list[str] = Field(default=[])

    @property
    def healthy(self) -> bool:
        return self.status == "healthy"
