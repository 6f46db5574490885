"""Many submissions in one request, and what became of each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field, StrictStr

from stepline.contract.base import Answer, Request
from stepline.contract.life import Status
from stepline.contract.problems import Problem


class SubmissionItem(Request):
    """One submission of many: what `POST /tasks/<type>` takes, and which type."""

    type: StrictStr = Field(description="A task type's name.", examples=["quick"])
    payload: dict[str, Any] = Field(
        description="The body that a submission of this type has.", examples=[{"numbers": [1, 2]}]
    )
    idempotency_key: StrictStr | None = Field(
        default=None, description="As the header `Idempotency-Key`, of this one."
    )


class SubmissionAnswer(Answer):
    """What became of one: a task, or the problem with it."""

    task_id: str | None = None
    type: str | None = None
    status: Status | None = None
    queue: str | None = None
    run_at: datetime | None = None
    replayed: bool = False
    """The same key had made this task before."""
    problem: Problem | None = None


class SubmissionAnswers(Answer):
    """One answer for each item, in their order."""

    accepted: int
    refused: int
    items: list[SubmissionAnswer]
