"""How the service does: statistics over time, failures by cause, schedules. Durations are in
seconds."""

from __future__ import annotations

from datetime import datetime

from stepline.contract.base import Answer, example
from stepline.contract.life import Status


class StatsNow(Answer):
    """This moment. `by_status`: the tasks that have not ended (of a backlog the 10,000 oldest; then
    `capped`), and those that ended within the window. `workers`: processes that live."""

    by_status: dict[Status, int]
    capped: bool = False
    running: int
    waiting: int
    workers: int


class StatsTotals(Answer):
    """Within the window: `finished` ended well, `retried` counts attempts that failed and were
    tried again. `failure_rate` is of those that finished or failed, 0…1; None of nothing.
    `throughput_per_second`: all that ended."""

    accepted: int
    finished: int
    failed: int
    cancelled: int
    retried: int
    failure_rate: float | None
    throughput_per_second: float


class Latency(Answer):
    """Seconds from submission (of a deferred task: from its time) to the end, of tasks that
    finished or failed, right to within a tenth; None of nothing."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class StatsPoint(Latency):
    """What happened from `at` until the next point."""

    at: datetime
    accepted: int
    finished: int
    failed: int
    cancelled: int
    retried: int


class StatsOfType(Latency):
    """What happened to one type within the window."""

    type: str
    accepted: int
    finished: int
    failed: int
    cancelled: int
    retried: int
    failure_rate: float | None


class Stats(Answer):
    """How the service does, from counts that are kept as history is written: the answer costs the
    same however many tasks there were. The window begins at `since`, on a full `step` (seconds
    between two points of `series`)."""

    model_config = example(
        {
            "since": "2026-11-25T09:00:00Z",
            "until": "2026-11-25T10:00:10Z",
            "step": 60,
            "now": {
                "by_status": {"PENDING": 3, "RUNNING": 2, "SUCCESS": 1187, "FAILURE": 13},
                "running": 2,
                "waiting": 3,
                "workers": 2,
            },
            "totals": {
                "accepted": 1205,
                "finished": 1187,
                "failed": 13,
                "cancelled": 0,
                "retried": 21,
                "failure_rate": 0.0108,
                "throughput_per_second": 0.33,
            },
            "series": [
                {
                    "at": "2026-11-25T09:00:00Z",
                    "accepted": 20,
                    "finished": 19,
                    "failed": 1,
                    "cancelled": 0,
                    "retried": 2,
                    "p50": 0.02,
                    "p95": 0.9,
                    "p99": 1.8,
                }
            ],
            "by_type": [],
        }
    )

    since: datetime
    until: datetime
    step: int
    now: StatsNow
    totals: StatsTotals
    series: list[StatsPoint]
    by_type: list[StatsOfType]


class Resolution(Answer):
    """Who has seen to a group of failures, and when."""

    by: str
    at: datetime


class FailureGroup(Answer):
    """Tasks that failed for one cause: the same type, handler, code and `message`, in which
    numbers, ids, addresses and quoted texts are left out. `count` is since `first_seen`. A failure
    after `resolved` opens the group again."""

    model_config = example(
        {
            "fingerprint": "9f0c3a1b52e4d687",
            "type": "api_fetch",
            "handler": "api_fetch",
            "code": "handler_error",
            "message": "ValueError: <url> answered <n>",
            "count": 37,
            "first_seen": "2026-11-25T08:12:00Z",
            "last_seen": "2026-11-25T09:58:31Z",
            "sample_task_id": "01a20d9f-383a-7000-8000-000000000000",
            "resolved": None,
        }
    )

    fingerprint: str
    type: str
    handler: str | None = None
    code: str
    message: str
    count: int
    first_seen: datetime
    last_seen: datetime
    sample_task_id: str
    resolved: Resolution | None = None


class FailureGroups(Answer):
    """Groups of failures, the last seen first; `more`: there are others, not shown."""

    failures: list[FailureGroup]
    more: bool


class Schedule(Answer):
    """A type that cron submits at the times of `schedule` (five cron fields, in `timezone`).
    `last_at`: the time that its last task was for; None before the first."""

    model_config = example(
        {
            "type": "tidy",
            "schedule": "*/5 * * * *",
            "timezone": "Asia/Shanghai",
            "next_at": "2026-11-25T10:05:00Z",
            "last_at": "2026-11-25T10:00:00Z",
            "last_task_id": "01a20d9f-383a-7000-8000-000000000000",
        }
    )

    type: str
    schedule: str
    timezone: str
    next_at: datetime
    last_at: datetime | None = None
    last_task_id: str | None = None


class Schedules(Answer):
    """The types with a schedule, by name."""

    schedules: list[Schedule]
