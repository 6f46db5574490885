"""Redis flushed, killed, stopped, cut off and full."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.stand import Stand
from tests.waiting import wait_for


async def test_flushall_under_load(stand: Stand, measured: Measured, long_form: bool) -> None:
    times = 10 if long_form else 2
    await stand.up(workers=2)
    recovery = []
    async with stand.ledger.load(seconds=0.05):
        for _ in range(times):
            await stand.until_more_end()
            with stand.redis() as client:
                client.flushall()
            flushed = time.monotonic()
            await stand.until_more_end()
            recovery.append(await stand.recovered(flushed))

    verdict = await check(stand, redis_lost=True)

    measured(
        verdict,
        "Redis: FLUSHALL under load",
        "no task and no result is lost; running tasks put their state back",
        invariants="I1, I2, I6, I7; no run after an end, none twice in an attempt",
        recovery=recovery,
        repeated=times,
    )


async def test_flushall_keeps_keys(stand: Stand, measured: Measured) -> None:
    """A key that was used before the flush gives the same task after it."""
    await stand.up()
    submissions = [stand.ledger.begin() for _ in range(20)]
    for item in submissions:
        await stand.ledger.send(item, steps=1)
    for item in submissions:
        for task_id in item.task_ids:
            await stand.until_recorded(task_id)
    with stand.redis() as client:
        client.flushall()
    for item in submissions:
        await stand.ledger.send(item, steps=1)

    verdict = await check(stand, redis_lost=True)

    measured(
        verdict,
        "Redis: FLUSHALL between a submission and its repetition",
        "the same key gives the same task",
        invariants="I1, I2, I6, I7",
        absorbed=len(submissions),
    )


async def test_kill_under_load(stand: Stand, measured: Measured, long_form: bool) -> None:
    """The append-only file is synced each second: what was written in the last one may be gone."""
    times = 5 if long_form else 1
    await stand.up(workers=2)
    recovery = []
    async with stand.ledger.load(seconds=0.05):
        for _ in range(times):
            await stand.until_more_end()
            await asyncio.to_thread(stand.services.redis.kill)
            await asyncio.to_thread(stand.services.redis.start)
            back = time.monotonic()
            await stand.until_more_end()
            recovery.append(await stand.recovered(back))

    verdict = await check(stand, redis_lost=True)

    measured(
        verdict,
        "Redis: kill -9 under load",
        "work pauses and goes on",
        invariants="I1, I2, I6, I7; no run after an end, none twice in an attempt",
        recovery=recovery,
        repeated=times,
    )


@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_away(stand: Stand, measured: Measured, long_form: bool, how: str) -> None:
    if how == "hanging" and not long_form:
        pytest.skip("the long form has both")
    seconds = 30.0 if long_form else 5.0
    await stand.up()
    gate = stand.folder / "gate"
    held = await stand.ledger.accept(hold=str(gate))
    await stand.until_begun(held, step=1)
    async with stand.ledger.load(seconds=0.02):
        await stand.until_more_end()
        if how == "stopped":
            await asyncio.to_thread(stand.services.redis.stop)
        else:
            stand.redis_link.hang()
        went = time.monotonic()
        gate.touch()
        await wait_for(lambda: time.monotonic() > went + seconds, seconds + 5)
        coming = time.monotonic()
        if how == "stopped":
            await asyncio.to_thread(stand.services.redis.start)
        else:
            stand.redis_link.heal()
        back = time.monotonic()
        await stand.until_more_end()
        recovery = await stand.recovered(back)

    verdict = await check(stand)

    during = [item for item in stand.ledger.tries if went + 0.5 < item.answered < coming]
    assert all(item.answer != "accepted" for item in during)
    assert len(stand.lines("begin", held, step=1)) == 1, "the running step was disturbed"
    measured(
        verdict,
        f"Redis: {how} for {seconds:g} s",
        "submissions answer 503; running work pauses and goes on",
        recovery=[recovery],
    )


async def test_memory_full(stand: Stand, measured: Measured) -> None:
    await stand.up()
    async with stand.ledger.load(seconds=0.02):
        await stand.until_more_end()
        with stand.redis() as client:
            client.config_set("maxmemory", "1mb")
            full = time.monotonic()
            try:
                await wait_for(
                    lambda: any(
                        item.answer != "accepted" and item.sent > full
                        for item in stand.ledger.tries
                    ),
                    20,
                )
            finally:
                client.config_set("maxmemory", "0")
        back = time.monotonic()
        await stand.until_more_end()
        recovery = await stand.recovered(back)

    verdict = await check(stand)

    measured(
        verdict,
        "Redis: maxmemory reached",
        "submissions answer 503; running work pauses and goes on; nothing is evicted",
        recovery=[recovery],
    )
