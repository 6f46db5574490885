"""The attempts of a task, told by its events."""

from __future__ import annotations

from typing import Any

from stepline.contract import EventKind

from api.task_view import MAX_EVENTS, attempt_views, log_lines, stored_outputs

HANDLERS = ["first", "second"]
AT = "2026-11-25T10:00:0{}.000000Z"


def event(number: str, kind: EventKind, second: int = 0, **data: Any) -> dict[str, Any]:
    attempt = int(number.partition("-")[0])
    return {
        "id": number,
        "task_id": "t",
        "kind": kind.value,
        "attempt": attempt,
        "at": AT.format(second),
        **data,
    }


QUEUED = event("0-1", EventKind.QUEUED)
STARTED = event("1-1", EventKind.STARTED, worker="w1")
FIRST = [
    event("1-2", EventKind.STEP_STARTED, 1, handler="first", index=0),
    event("1-3", EventKind.STEP_COMPLETED, 3, handler="first", index=0),
]
SECOND = event("1-4", EventKind.STEP_STARTED, 3, handler="second", index=1)


def test_an_attempt_has_the_steps_it_came_to_with_durations_and_outputs() -> None:
    outputs = stored_outputs({(0, "first"): b'{"a":1}'})

    (attempt,) = attempt_views(HANDLERS, [QUEUED, STARTED, *FIRST, SECOND], outputs, ended=False)

    assert (attempt.worker, attempt.outcome, attempt.finished_at) == ("w1", "running", None)
    first, second = attempt.steps
    assert (first.handler, first.status, first.duration, first.output) == (
        "first",
        "completed",
        2.0,
        {"a": 1},
    )
    assert (second.handler, second.status, second.duration) == ("second", "running", None)


def test_an_attempt_whose_worker_died_is_lost_when_another_takes_over() -> None:
    taken_over = event("2-1", EventKind.STARTED, 8, worker="w2")

    lost, current = attempt_views(
        HANDLERS, [QUEUED, STARTED, *FIRST, SECOND, taken_over], {}, ended=False
    )

    assert (lost.outcome, lost.finished_at, lost.steps[1].status) == (
        "lost",
        current.started_at,
        "failed",
    )
    assert (current.outcome, current.worker, current.steps) == ("running", "w2", [])


def test_a_failed_attempt_keeps_its_error_though_the_task_is_cancelled_while_it_waits() -> None:
    error = {"code": "handler_error", "message": "no", "handler": "first", "details": {}}
    failed = event("1-3", EventKind.RETRY_SCHEDULED, 2, error=error)
    cancelled = event("1-4", EventKind.CANCELLED, 5, error=error | {"code": "cancelled"})

    (attempt,) = attempt_views(HANDLERS, [QUEUED, STARTED, failed, cancelled], {}, ended=True)

    assert attempt.outcome == "retrying"
    assert attempt.error is not None
    assert attempt.error.code == "handler_error"
    assert attempt.finished_at is not None
    assert attempt.finished_at.second == 2


def test_of_very_many_events_the_newest_are_shown() -> None:
    lines = [
        event(f"1-{n}", EventKind.LOG, message=str(n), handler="first", index=0)
        for n in range(2, MAX_EVENTS + 12)
    ]

    (attempt,) = attempt_views(HANDLERS, [STARTED, *lines], {}, ended=False)

    assert (len(attempt.events), attempt.events_left_out) == (MAX_EVENTS, 11)
    assert attempt.events[-1].message == str(MAX_EVENTS + 11)
    assert len(log_lines([STARTED, *lines])) == MAX_EVENTS + 10


def test_large_and_distant_outputs_are_left_out_and_said_to_be() -> None:
    outputs = stored_outputs(
        {
            (0, "small"): b"1",
            (1, "large"): b'"' + b"x" * 200_000 + b'"',
            (2, "elsewhere"): b"@t/2",
            (3, "skipped"): b"-",
        }
    )

    assert outputs == {0: (1, False), 1: (None, True), 2: (None, True)}
