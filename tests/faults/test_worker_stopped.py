"""Workers that are asked to stop, and workers that are frozen."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.stand import Stand
from tests.waiting import PATIENCE, here, wait_for

GRACE = 2.0
"""As the stand sets it."""


async def test_sigterm_under_load(stand: Stand, measured: Measured, long_form: bool) -> None:
    times = 50 if long_form else 2
    await stand.up(workers=2)
    stops = []
    async with stand.ledger.load(seconds=0.1):
        for _ in range(times):
            await stand.until_more_end()
            victim = stand.alive[0]
            victim.send_signal(signal.SIGTERM)
            asked = time.monotonic()
            code = await asyncio.to_thread(victim.wait, here(GRACE + 10))
            stops.append(time.monotonic() - asked)
            assert code == 0
            stand.start_worker()
            await stand.until_workers(2)

    verdict = await check(stand, once=True)

    refused = [item for item in stand.ledger.tries if item.answer != "accepted"]
    assert not refused, f"a client saw it: {refused[:3]}"
    measured(
        verdict,
        "worker: SIGTERM under load",
        "no client sees it; never longer than the grace time + 10 s (recovery: until it ended)",
        recovery=stops,
        repeated=times,
    )


async def test_sigterm_in_mid_step(stand: Stand, measured: Measured) -> None:
    """A step that outlasts the grace time is handed over, and begins again elsewhere."""
    await stand.up(workers=2)
    gate = stand.folder / "gate"
    task_id = await stand.ledger.accept(hold=str(gate))
    await stand.until_begun(task_id, step=1)
    (line,) = stand.lines("begin", task_id, step=1)
    (victim,) = [worker for worker in stand.alive if worker.pid == line["pid"]]
    victim.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    assert await asyncio.to_thread(victim.wait, here(GRACE + 10)) == 0
    await wait_for(lambda: len(stand.lines("begin", task_id, 1)) == 2, PATIENCE)
    recovery = time.monotonic() - asked
    gate.touch()

    verdict = await check(stand)

    assert len(stand.lines("begin", task_id, step=0)) == 1
    measured(
        verdict,
        "worker: SIGTERM in a step longer than the grace time",
        "handed over after the grace time (2 s here); finished steps do not run again",
        recovery=[recovery],
    )


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("only_long")
async def test_frozen_then_awake(stand: Stand, measured: Measured) -> None:
    await stand.up(workers=2)
    gate = stand.folder / "gate"
    task_id = await stand.ledger.accept(hold=str(gate))
    await stand.until_begun(task_id, step=1)
    (line,) = stand.lines("begin", task_id, step=1)
    (victim,) = [worker for worker in stand.alive if worker.pid == line["pid"]]
    victim.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    await wait_for(lambda: len(stand.lines("begin", task_id, 1)) == 2, PATIENCE)
    recovery = time.monotonic() - frozen
    gate.touch()
    await stand.until_recorded(task_id)
    await wait_for(lambda: time.monotonic() > frozen + 40, PATIENCE)
    victim.send_signal(signal.SIGCONT)
    await wait_for(lambda: "lease_lost" in stand.log_of(victim), PATIENCE)

    verdict = await check(stand)

    assert recovery < here(35.0)
    measured(
        verdict,
        "worker: SIGSTOP for 40 s, then SIGCONT",
        "taken over within 35 s (the broker's heartbeat); the sleeper writes nothing when it wakes",
        recovery=[recovery],
    )
