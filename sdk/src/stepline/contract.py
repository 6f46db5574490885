"""The wire models, shared by the API and the SDK: what goes over HTTP, by field.

Times are RFC 3339 in UTC. Unknown fields are refused in requests and ignored in answers.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
    validate_email,
)

EMAIL_SCHEMA = {"type": "string", "format": "email"}


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

    @property
    def terminal(self) -> bool:
        return self in (EventKind.SUCCEEDED, EventKind.FAILED, EventKind.CANCELLED)


def _example(body: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [body]})


class Request(BaseModel):
    """Base of everything that comes in."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """Base of everything that goes out."""

    model_config = ConfigDict(extra="ignore")


def _one_line(text: str) -> str:
    if any(character in text for character in "\r\n\0"):
        raise ValueError("must not hold line breaks or NUL")
    return text


TaskName = Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
HeaderLine = Annotated[StrictStr, Field(min_length=1, max_length=500), AfterValidator(_one_line)]
FiniteNumber = StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]


EARLIEST, LATEST = 1971, 9998


def _sane_year(moment: datetime) -> datetime:
    if not EARLIEST <= moment.year <= LATEST:
        raise ValueError(f"the year must be from {EARLIEST} to {LATEST}")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_sane_year)]
Seconds = Annotated[float, Field(allow_inf_nan=False, le=10 * 366 * 86_400)]


def _email(value: str) -> str:
    try:
        return validate_email(value)[1]
    except ImportError:  # the SDK alone: the server looks more closely
        if not EMAIL.fullmatch(value):
            raise ValueError("value is not a valid email address") from None
        return value


EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
Email = Annotated[StrictStr, AfterValidator(_email), WithJsonSchema(EMAIL_SCHEMA)]


class Named(Request):
    """What every submission may carry."""

    task_name: TaskName | None = Field(default=None, description="A name for people.")
    delay: Annotated[Seconds, Field(ge=0)] | None = Field(
        default=None, description="Start after so many seconds, not before."
    )
    run_at: Moment | None = Field(default=None, description="Start at this time, not before.")
    expires_in: Annotated[Seconds, Field(gt=0)] | None = Field(
        default=None, description="Do not start later than so many seconds from now."
    )
    deadline: Moment | None = Field(default=None, description="Do not start after this time.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.delay is not None and self.run_at is not None:
            raise ValueError("give delay or run_at, not both")
        if self.expires_in is not None and self.deadline is not None:
            raise ValueError("give expires_in or deadline, not both")
        return self


TIMING = frozenset({"delay", "run_at", "expires_in", "deadline"})
"""The fields of a submission that say when, not what: a retry leaves them behind."""


class LongRequest(Named):
    """Long work, shown second by second."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"duration": 30, "task_name": "大数据ETL处理"}]}
    )

    duration: int = Field(default=60, ge=1, le=86_400, description="Seconds.", examples=[30])


class QuickRequest(Named):
    """Figures of some numbers."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"numbers": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}]}
    )

    numbers: list[FiniteNumber] = Field(
        min_length=1, max_length=100_000, examples=[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]
    )


class EmailRequest(Named):
    """One mail."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "recipient": "user@company.com",
                    "subject": "系统处理完成通知",
                    "message": "您的数据处理任务已完成，请查看结果。",
                }
            ]
        }
    )

    recipient: Email = Field(examples=["user@company.com"])
    subject: HeaderLine
    message: Annotated[StrictStr, Field(max_length=1_000_000)]


class BatchRequest(Named):
    """Users to process, by id."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_ids": [101, 102, 103, 104, 105]}]}
    )

    user_ids: list[Annotated[StrictInt, Field(ge=1, le=2**63 - 1)]] = Field(
        min_length=1, max_length=10_000, examples=[[101, 102, 103, 104, 105]]
    )


class FetchRequest(Named):
    """Addresses to fetch, concurrently."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"urls": ["https://example.com/", "https://example.org/"]}]}
    )

    urls: list[Annotated[StrictStr, Field(min_length=1, max_length=2_048)]] = Field(
        min_length=1, max_length=1_000
    )


class RequestType(StrEnum):
    """What a chain request is about; all handlers of the chain run whatever it is."""

    DATA_VALIDATION = "data_validation"
    DATA_TRANSFORMATION = "data_transformation"
    DATA_ENRICHMENT = "data_enrichment"
    DATA_EXPORT = "data_export"
    NOTIFICATION = "notification"


class ChainType(StrEnum):
    """Chains by name. `custom` and `dynamic` mean: as `handler_sequence` says."""

    VALIDATION_ONLY = "validation_only"
    TRANSFORM_EXPORT = "transform_export"
    ENRICH_NOTIFY = "enrich_notify"
    STANDARD = "standard"
    CUSTOM = "custom"
    DYNAMIC = "dynamic"

    @property
    def by_sequence(self) -> bool:
        return self in (ChainType.CUSTOM, ChainType.DYNAMIC)


class ChainHandler(StrEnum):
    """The handlers that a chain is made of."""

    VALIDATION = "validation"
    TRANSFORMATION = "transformation"
    ENRICHMENT = "enrichment"
    EXPORT = "export"
    NOTIFICATION = "notification"


class ValidationRule(Request):
    """What a field must be. Lengths count characters or items; bounds are inclusive."""

    type: (
        Literal[
            "string",
            "number",
            "integer",
            "boolean",
            "email",
            "phone",
            "url",
            "date",
            "array",
            "object",
        ]
        | None
    ) = None
    min_length: Annotated[int, Field(ge=0)] | None = None
    max_length: Annotated[int, Field(ge=0)] | None = None
    min_value: FiniteNumber | None = None
    max_value: FiniteNumber | None = None
    pattern: Annotated[str, Field(max_length=1_000)] | None = None
    enum: list[Any] | None = Field(default=None, min_length=1)
    required: bool | None = None


ExportFormat = Literal["json", "csv", "xml", "yaml", "txt", "xlsx"]


class ExportConfig(Request):
    """How to export: field filters apply to each record, `flatten` joins nested keys by dots."""

    format: ExportFormat | None = None
    filename: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    fields: list[str] | None = None
    exclude_fields: list[str] | None = None
    flatten: bool = False


class ChainData(Request):
    """What a chain works on."""

    payload: dict[str, Any] | list[dict[str, Any]]
    required_fields: list[str] = []
    validation_rules: dict[str, ValidationRule] = {}
    transformations: dict[str, str | list[str]] = {}
    export_format: ExportFormat | None = None
    export_config: ExportConfig | None = None
    notification_type: Literal["email", "webhook", "log"] | None = None
    recipients: list[Annotated[str, Field(min_length=1, max_length=2_048)]] = Field(
        default=[], max_length=1_000
    )
    message: Annotated[str, Field(max_length=100_000)] | None = None
    template: Literal["success", "error", "warning", "info"] | None = None


class ChainItem(Request):
    """One piece of chain work, also as an item of a batch."""

    request_type: RequestType
    data: ChainData
    metadata: dict[str, Any] = {}


class ChainRequest(ChainItem, Named):
    """A chain: named by `chain_type`, or given by `handler_sequence`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_type": "data_transformation",
                    "chain_type": "transform_export",
                    "data": {
                        "payload": {"first_name": "  john  ", "salary": "75000"},
                        "transformations": {"first_name": "strip", "salary": "to_number"},
                        "export_format": "json",
                    },
                }
            ]
        }
    )

    chain_type: ChainType = ChainType.STANDARD
    handler_sequence: list[ChainHandler] | None = Field(default=None, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _sequence_fits_type(self) -> Self:
        if self.chain_type.by_sequence and self.handler_sequence is None:
            raise ValueError(f"chain_type {self.chain_type.value!r} needs a handler_sequence")
        if not self.chain_type.by_sequence and self.handler_sequence is not None:
            raise ValueError(
                f"handler_sequence goes with chain_type 'custom', not {self.chain_type.value!r}"
            )
        return self


class DynamicChainRequest(ChainItem, Named):
    """A chain by its handlers, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_type": "data_transformation",
                    "data": {
                        "payload": {"message": "hello world"},
                        "transformations": {"message": "uppercase"},
                        "notification_type": "email",
                        "recipients": ["admin@example.com"],
                    },
                    "handler_sequence": ["transformation", "export", "notification"],
                }
            ]
        }
    )

    handler_sequence: list[ChainHandler] = Field(
        min_length=1, max_length=50, examples=[["transformation", "export", "notification"]]
    )


class ChainBatchRequest(Named):
    """Several pieces of chain work as one task; a bad one fails alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "chain_type": "standard",
                    "batch_requests": [
                        {
                            "request_type": "data_validation",
                            "data": {
                                "payload": {"name": "User1", "email": "user1@example.com"},
                                "required_fields": ["name", "email"],
                            },
                        }
                    ],
                }
            ]
        }
    )

    batch_requests: list[ChainItem] = Field(min_length=1, max_length=1_000)
    chain_type: ChainType = ChainType.STANDARD
    handler_sequence: list[ChainHandler] | None = Field(default=None, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _sequence_fits_type(self) -> Self:
        if self.chain_type.by_sequence != (self.handler_sequence is not None):
            raise ValueError("handler_sequence goes with chain_type 'custom', and only with it")
        return self


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
    details: dict[str, Any] = {}


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


class CancelRequest(Request):
    """Why a task is cancelled, for people."""

    model_config = _example({"reason": "ordered twice"})

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

    model_config = _example({"from_step": "export"})

    from_step: (
        Annotated[StrictInt, Field(ge=0, le=1_000)]
        | Annotated[StrictStr, Field(min_length=1, max_length=100)]
        | None
    ) = None
    payload: dict[str, Any] | None = None


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
    """Newest first. `next` is an opaque cursor, or None at the end."""

    tasks: list[TaskSummary]
    next: str | None
    total: int
    total_capped: bool = False
    limit: int


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


class BulkFilter(Request):
    """Which ones: every field given must fit. `since` is inclusive, `until` exclusive. `status`
    and `text` are for tasks, `reason` for dead letters."""

    status: Status | None = None
    type: Annotated[str, Field(max_length=100)] | None = None
    queue: Annotated[str, Field(max_length=100)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    text: Annotated[str, Field(max_length=200)] | None = None
    reason: Annotated[str, Field(max_length=100)] | None = None


class BulkRequest(Request):
    """One action upon all that the filter finds, or upon those named."""

    model_config = _example({"action": "retry", "filter": {"status": "FAILURE", "type": "quick"}})

    action: Literal["retry", "cancel", "replay", "discard"]
    filter: BulkFilter | None = None
    ids: list[Annotated[str, Field(max_length=40)]] | None = Field(
        default=None, min_length=1, max_length=1_000
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.filter is None) == (self.ids is None):
            raise ValueError("give either filter or ids")
        wrong = ("reason",) if self.action in ("retry", "cancel") else ("status", "text")
        for name in wrong:
            if self.filter is not None and getattr(self.filter, name) is not None:
                raise ValueError(f"{name} does not go with {self.action}")
        return self


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


class User(Answer):
    """A user."""

    id: int
    username: str
    email: str
    created_at: datetime


class UserPage(Answer):
    """Users by id."""

    total: int
    users: list[User]


Username = Annotated[
    StrictStr, Field(min_length=1, max_length=50, pattern=r"^\w[\w.\- ]*$", examples=["alice"])
]


class NewUser(Request):
    """A user to create; both fields are unique."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "alice.w", "email": "alice@company.com"}]}
    )

    username: Username
    email: Email


class UserChange(Request):
    """What to change of a user; what is left out stays."""

    model_config = _example({"email": "alice@company.com"})

    username: Username | None = None
    email: Email | None = None


class FieldProblem(Answer):
    """One thing wrong with a request: where, what, and a stable code."""

    field: str
    message: str
    code: str


class Problem(Answer):
    """An RFC 9457 problem. `type` ends in the stable code."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[FieldProblem] = []


class Event(Answer):
    """An event of a task, as `data:` carries it; `id` is `attempt-seq`."""

    model_config = ConfigDict(extra="allow")

    task_id: str
    kind: EventKind
    attempt: int
    at: datetime
    handler: str | None = None
    index: int | None = None
    total: float | None = None
    current: float | None = None
    percent: float | None = None
    message: str | None = None
    data: Any = None
    error: TaskError | None = None


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
