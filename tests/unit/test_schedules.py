"""When a schedule is due, in its own zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import BaseModel
from stepline.authoring import TaskType, task_type

from workers.schedules import latest_due, scheduled_id


class Nothing(BaseModel):
    pass


def every(schedule: str, timezone: str = "UTC") -> TaskType:
    return task_type(
        "tidy", payload=Nothing, handlers=["long"], schedule=schedule, timezone=timezone
    )


NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "until", "due"),
    [
        (NOON, NOON + timedelta(minutes=4), None),
        (NOON, NOON + timedelta(minutes=5), NOON + timedelta(minutes=5)),
        (NOON, NOON + timedelta(minutes=9), NOON + timedelta(minutes=5)),
        (NOON, NOON + timedelta(days=1, minutes=3), NOON + timedelta(days=1)),
    ],
    ids=["not yet", "now", "a little late", "after a day's sleep only the latest"],
)
def test_the_latest_time_that_has_come(
    after: datetime, until: datetime, due: datetime | None
) -> None:
    assert latest_due(every("*/5 * * * *"), after, until) == due


def test_a_time_is_due_once() -> None:
    first = latest_due(every("0 13 * * *"), NOON, NOON + timedelta(hours=2))
    assert first == NOON + timedelta(hours=1)

    assert latest_due(every("0 13 * * *"), first, NOON + timedelta(hours=2)) is None


def test_the_schedule_is_in_its_own_zone() -> None:
    daily = every("30 9 * * *", "Asia/Shanghai")

    due = latest_due(daily, NOON, NOON + timedelta(days=1))

    assert due == datetime(2026, 3, 2, 1, 30, tzinfo=UTC)


def test_an_hour_that_the_clock_skips_is_not_forgotten() -> None:
    """In Berlin 02:30 does not exist on 29 March 2026."""
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)

    due = latest_due(every("30 2 * * *", "Europe/Berlin"), before, before + timedelta(days=1))

    assert due is not None
    assert due.date() == datetime(2026, 3, 29, tzinfo=UTC).date()


def test_an_hour_that_the_clock_repeats_is_one_time() -> None:
    """In Berlin 02:30 comes twice on 25 October 2026: at 00:30 and at 01:30 UTC."""
    nightly = every("30 2 * * *", "Europe/Berlin")
    noon = datetime(2026, 10, 25, 12, tzinfo=UTC)

    due = latest_due(nightly, noon - timedelta(days=1), noon)

    assert due == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert latest_due(nightly, due, noon) is None
    assert latest_due(nightly, due + timedelta(minutes=58), noon) is None


def test_years_without_a_look_cost_no_time() -> None:
    began = time.process_time()

    due = latest_due(every("* * * * *"), NOON - timedelta(days=3650), NOON)

    assert due == NOON
    assert time.process_time() - began < 1.0


def test_its_task_s_id_is_the_same_whoever_asks() -> None:
    due = NOON + timedelta(minutes=5)

    assert scheduled_id("tidy", due) == scheduled_id("tidy", due)
    assert scheduled_id("tidy", due) != scheduled_id("other", due)
    found = UUID(scheduled_id("tidy", due))
    assert found.version == 7
    assert found.int >> 80 == int(due.timestamp() * 1000)
