"""What operators look at and act on: whole tasks, queues, workers. Durations are in seconds."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictStr

from stepline.contract.base import Answer, Request, _one_line, example
from stepline.contract.events import LogLine, TaskEvent
from stepline.contract.life import Status
from stepline.contract.tasks import Links, Step, TaskError, TaskStatus


class AttemptStep(Step):
    """A step as one attempt ran it. `duration` in seconds, once it has ended. Of an `output` that
    is too large for this answer, `output_left_out` tells that there is one."""

    duration: float | None = None
    output: Any = None
    output_left_out: bool = False


class Attempt(Answer):
    """One claim of the task by a worker. `lost`: its worker died, and another took over (then
    `finished_at` is when). An unexpected exception's `error.details` has its `traceback`. `steps`
    are those that this attempt came to. Of `events` progress is left out, and of very many the
    oldest."""

    attempt: int
    worker: str | None = None
    outcome: Literal["running", "succeeded", "failed", "retrying", "cancelled", "lost"]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: TaskError | None = None
    steps: list[AttemptStep]
    events: list[Annotated[TaskEvent, Field(discriminator="kind")]]
    events_left_out: int = 0


WaitingReason = Literal["scheduled", "retrying", "queue_paused", "no_worker", "queued"]


class Waiting(Answer):
    """Why a task does not run. `since` is when this wait began, `until` its end where it is known.
    `ahead`: how many of its queue came before it (of `queued`; at most 1,000, then `ahead_capped`).
    """

    model_config = example(
        {
            "reason": "queued",
            "message": "3 of quick_tasks came before it.",
            "since": "2026-11-25T10:00:00Z",
            "ahead": 3,
        }
    )

    reason: WaitingReason
    message: str
    since: datetime
    until: datetime | None = None
    ahead: int | None = None
    ahead_capped: bool = False


class TaskDetail(TaskStatus):
    """The whole task: what was asked, what came of it, each attempt step by step, the lines that
    its handlers wrote, and why it waits, if it does. `recorded` is false while history has not
    heard of it or does not answer: `payload` and `retried_by` are then missing."""

    payload: dict[str, Any] | None = None
    result: Any = None
    handlers: list[str]
    attempts: list[Attempt]
    logs: list[LogLine]
    retried_by: list[str]
    waiting: Waiting | None = None
    recorded: bool


class OrderRequest(Request):
    """Why a queue is paused or a worker drained, for people."""

    model_config = example({"reason": "the mail provider is down"})

    reason: Annotated[StrictStr, Field(max_length=500), AfterValidator(_one_line)] | None = None


class Order(Answer):
    """Who ordered it, when and why. `by` names an API key; `anonymous` where none is asked."""

    by: str
    at: datetime
    reason: str | None = None


class QueueState(Answer):
    """A queue and its pause, or None while workers take from it."""

    name: str
    paused: Order | None = None


class Queue(QueueState):
    """A queue now. `waiting`: tasks that wait for a worker (at most 10,000 of a backlog are looked
    at; then `waiting_capped`). `messages`: what the broker has ready; None while it does not
    answer. `rate_in`, `rate_out`: tasks a second that were accepted and that ended, over the last
    one to two minutes. `oldest_age`: seconds that the oldest task has waited. `consumers`: worker
    processes that live, take from it and are not drained; of a paused queue, those that would.
    `types`: what is sent here."""

    model_config = example(
        {
            "name": "email_tasks",
            "paused": {
                "by": "ada",
                "at": "2026-11-25T10:00:00Z",
                "reason": "the mail provider is down",
            },
            "waiting": 412,
            "messages": 412,
            "rate_in": 6.5,
            "rate_out": 0.0,
            "oldest_age": 37.5,
            "running": 0,
            "consumers": 3,
            "types": ["email"],
        }
    )

    waiting: int
    waiting_capped: bool = False
    messages: int | None = None
    rate_in: float = 0.0
    rate_out: float = 0.0
    oldest_age: float | None = None
    running: int
    consumers: int
    types: list[str]


class Queues(Answer):
    """All queues that tasks wait in."""

    queues: list[Queue]


class WorkerTask(Answer):
    """A task that a worker has in hand."""

    task_id: str
    task_name: str | None = None
    type: str
    queue: str
    step: str | None = None
    started_at: datetime | None = None
    percent: float | None = None


class Worker(Answer):
    """A worker process. `kind`: `embedded` within `./task dev`. `concurrency`: tasks at once, per
    queue. `last_beat_age`: seconds since its last sign of life; `gone` after three (another worker
    takes its tasks over), and off the list after a minute."""

    model_config = example(
        {
            "id": "worker@host-1:4711",
            "kind": "worker",
            "host": "host-1",
            "pid": 4711,
            "version": "0.1.0",
            "queues": ["quick_tasks", "history"],
            "started_at": "2026-11-25T10:00:00Z",
            "last_beat_age": 0.4,
            "state": "running",
            "concurrency": 16,
            "tasks": [],
        }
    )

    id: str
    kind: str
    host: str
    pid: int
    version: str
    queues: list[str]
    started_at: datetime
    last_beat_age: float
    state: Literal["running", "draining", "gone"]
    draining: Order | None = None
    concurrency: int
    tasks: list[WorkerTask]


class Workers(Answer):
    """The worker processes, by id."""

    workers: list[Worker]


class WorkerState(Answer):
    """A worker and the order that drains it, or None while it takes tasks."""

    id: str
    draining: Order | None = None


class Released(Answer):
    """A deferred task that waits for its time no more."""

    task_id: str
    status: Status
    message: str
    links: Links
