"""What people do to tasks: cancel, retry, one or many at once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictInt, StrictStr, model_validator

from stepline.contract.base import Answer, Moment, Request, _one_line, example
from stepline.contract.life import Status
from stepline.contract.tasks import Links, TaskError


class CancelRequest(Request):
    """Why a task is cancelled, for people."""

    model_config = example({"reason": "ordered twice"})

    reason: Annotated[StrictStr, Field(max_length=500), AfterValidator(_one_line)] | None = None


class Cancellation(Answer):
    """CANCELLED: the task has ended. Otherwise a worker has it in hand, and has been told."""

    task_id: str
    status: Status
    message: str
    links: Links


class RetryRequest(Request):
    """A new task from an ended one. `from_step`: the index or the name of the first handler to
    run; the earlier ones' outputs are taken over. `payload`: another one than the old task's."""

    model_config = example({"from_step": "export"})

    from_step: (
        Annotated[StrictInt, Field(ge=0, le=1_000)]
        | Annotated[StrictStr, Field(min_length=1, max_length=100)]
        | None
    ) = None
    payload: dict[str, Any] | None = None


class BulkFilter(Request):
    """Which ones: every field given must fit. `since` is inclusive, `until` exclusive. `status`,
    `text`, `worker` and `fingerprint` (a group of failures) are for tasks, `reason` for dead
    letters."""

    status: Status | None = None
    type: Annotated[str, Field(max_length=100)] | None = None
    queue: Annotated[str, Field(max_length=100)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    text: Annotated[str, Field(max_length=200)] | None = None
    reason: Annotated[str, Field(max_length=100)] | None = None
    worker: Annotated[str, Field(max_length=200)] | None = None
    fingerprint: Annotated[str, Field(max_length=16)] | None = None


TASKS_ONLY = ("status", "text", "worker", "fingerprint")


class BulkRequest(Request):
    """One action upon all that the filter finds, or upon those named. With `dry_run` nothing is
    done."""

    model_config = example({"action": "retry", "filter": {"status": "FAILURE", "type": "quick"}})

    action: Literal["retry", "cancel", "replay", "discard"]
    filter: BulkFilter | None = None
    ids: list[Annotated[str, Field(max_length=40)]] | None = Field(
        default=None, min_length=1, max_length=1_000
    )
    dry_run: bool = Field(default=False, description="Only tell how many there are.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.filter is None) == (self.ids is None):
            raise ValueError("give either filter or ids")
        wrong = ("reason",) if self.action in ("retry", "cancel") else TASKS_ONLY
        for name in wrong:
            if self.filter is not None and getattr(self.filter, name) is not None:
                raise ValueError(f"{name} does not go with {self.action}")
        return self


class BulkPreview(Answer):
    """How many an action would be done to; some of them may not fit it when their turn comes."""

    model_config = example({"dry_run": True, "action": "retry", "total": 37})

    dry_run: Literal[True] = True
    action: Literal["retry", "cancel", "replay", "discard"]
    total: int


class BulkLinks(Answer):
    """Where to look next, as paths."""

    self: str
    abort: str


class BulkAction(Answer):
    """How far an action is: `done` of `total`; `skipped` are those that it does not fit (any more),
    `failed` those that it could not be done to, with the first reason in `error`."""

    id: str
    action: Literal["retry", "cancel", "replay", "discard"]
    state: Literal["running", "done", "aborted", "failed"]
    total: int
    done: int
    skipped: int
    failed: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    error: TaskError | None = None
    links: BulkLinks


class BulkActions(Answer):
    """The newest actions."""

    actions: list[BulkAction]
