"""Several records of one task in a batch become one, by the rules of the table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stepline.contract import Status

from infra.history.base import AttemptRecord, TaskRecord
from infra.history.writing import merge

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def told(status: Status, attempt: int = 0, seq: int = 0, **more: Any) -> TaskRecord:
    values: dict[str, Any] = {
        "id": "a",
        "type": "quick",
        "queue": "quick_tasks",
        "created_at": NOON,
        "updated_at": NOON,
        "handlers": ["quick"],
        **more,
    }
    return TaskRecord(status=status, attempt=attempt, seq=seq, **values)


def test_the_first_end_stays_the_end_whatever_its_version() -> None:
    first = told(Status.SUCCESS, 1, 3, result="first")
    second = told(Status.FAILURE, 2, 3, error={"code": "late"})

    (merged,) = merge([first, second])

    assert (merged.status, merged.result, merged.error) == (Status.SUCCESS, "first", None)


def test_an_end_outranks_what_is_told_after_it() -> None:
    end = told(Status.CANCELLED, 0, 1)
    late = told(Status.RUNNING, 9, 9, started_at=NOON, worker="w")

    (merged,) = merge([end, late])

    assert (merged.status, merged.attempt) == (Status.CANCELLED, 0)
    assert (merged.worker, merged.started_at) == ("w", NOON)


def test_a_late_acceptance_fills_what_an_outcome_left_out() -> None:
    outcome = told(Status.SUCCESS, 1, 3, result=1)
    accepted = told(Status.PENDING, payload={"a": 1}, name="n", idempotency_key="k")

    (merged,) = merge([outcome, accepted])

    assert (merged.status, merged.result) == (Status.SUCCESS, 1)
    assert (merged.payload, merged.name, merged.idempotency_key) == ({"a": 1}, "n", "k")


def test_the_earliest_start_counts() -> None:
    later = NOON + timedelta(seconds=5)
    records = [
        told(Status.RUNNING, 2, 1, started_at=later),
        told(Status.RUNNING, 1, 1, started_at=NOON),
    ]

    (merged,) = merge(records)

    assert (merged.attempt, merged.started_at) == (2, NOON)


def test_attempts_are_joined_and_the_fuller_document_stays() -> None:
    full = AttemptRecord(1, "w", [{"n": 1}, {"n": 2}], [])
    sparse = AttemptRecord(1, "w", [{"n": 1}], [])
    second = AttemptRecord(2, "w", [], [])
    records = [
        told(Status.RETRYING, 1, 5, attempts=[full]),
        told(Status.SUCCESS, 2, 5, attempts=[second, sparse]),
    ]

    (merged,) = merge(records)

    assert merged.attempts == [full, second]


def test_rows_come_in_order_of_their_ids_so_that_writers_lock_alike() -> None:
    assert [record.id for record in merge([told(Status.PENDING, id=i) for i in "cab"])] == [
        "a",
        "b",
        "c",
    ]
