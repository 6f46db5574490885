"""kill -9 of the API at each point of a submission: the client asks again with its key, and gets
the one task."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.api_main import POINTS
from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.crash import arm
from tests.faults.stand import Stand
from tests.waiting import wait_for

RESERVED = 15.0
"""Seconds that a dead API's reservation may keep its key busy (10), and some to start again."""


@pytest.mark.timeout(300)
async def test_kill_at_each_point_of_a_submission(stand: Stand, measured: Measured) -> None:
    await stand.up()
    recovery = []

    async def submit_and_crash(point: str) -> None:
        crash = arm(stand.folder, point)
        submission = stand.ledger.begin()
        first = await stand.ledger.send(submission, steps=1)
        await wait_for(lambda: not crash.exists())
        if point not in ("after_confirm", "after_accepted"):  # these may have answered before
            assert first.answer == "ambiguous", f"{point}: {first}"
        killed = time.monotonic()
        assert stand.api is not None
        await asyncio.to_thread(stand.api.wait, 10)
        stand.start_api()
        await stand.until_answering()
        again.append(asyncio.create_task(bring_through(submission, killed)))

    async def bring_through(submission: object, killed: float) -> None:
        taken = await stand.ledger.insist(submission, until=killed + 60, steps=1)  # type: ignore[arg-type]
        assert taken
        recovery.append(time.monotonic() - killed)

    again: list[asyncio.Task[None]] = []
    for point in POINTS:
        await submit_and_crash(point)
    await asyncio.gather(*again)

    verdict = await check(stand)

    assert verdict.accepted == len(POINTS) + 1
    replayed = sum(len(item.tries) - 1 for item in stand.ledger.submissions)
    measured(
        verdict,
        "API: kill -9 at each point of a submission",
        "the same Idempotency-Key gives the same task afterwards; nothing runs twice",
        recovery=recovery,
        repeated=len(POINTS),
        absorbed=replayed,
    )


async def test_fifty_requests_with_one_key_at_once(stand: Stand, measured: Measured) -> None:
    await stand.up()
    submission = stand.ledger.begin()

    made = await asyncio.gather(*(stand.ledger.send(submission, steps=1) for _ in range(50)))

    assert {item.answer for item in made} == {"accepted"}
    assert len(submission.task_ids) == 1
    verdict = await check(stand)
    measured(
        verdict,
        "50 requests with one Idempotency-Key at once",
        "one task",
        absorbed=49,
    )
