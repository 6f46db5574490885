"""kill -9 of a worker at each point of a task's life: another one goes on behind it."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.crash import arm
from tests.faults.stand import Stand
from tests.faults.worker_main import POINTS
from tests.waiting import PATIENCE, here, wait_for

POINTS_OF_A_GROUP = ("after_claim", "after_checkpoint", "before_end", "after_end", "after_outcome")
TOGETHER = 24

RECOVERY = 5.0
"""Seconds, as promised: three of them to be sure that the holder is dead."""


@pytest.mark.timeout(300)
async def test_kill_at_each_point_of_a_task(stand: Stand, measured: Measured) -> None:
    await stand.up(workers=2)
    recovery = []
    for point in POINTS:
        crash = arm(stand.folder, point)
        task_id = await stand.ledger.accept()
        await wait_for(lambda armed=crash: not armed.exists())
        killed = time.monotonic()
        stand.start_worker()
        if point != "after_ack":
            await stand.until_recorded(task_id)
            recovery.append(time.monotonic() - killed)
        await stand.until_workers(2)
    assert max(recovery) < here(RECOVERY)

    verdict = await check(stand)

    assert verdict.statuses == {"SUCCESS": len(POINTS) + 1}
    measured(
        verdict,
        "worker: kill -9 at each point of a task",
        "another worker goes on at the first step without a checkpoint, within 5 s",
        recovery=recovery,
        repeated=len(POINTS),
    )


async def test_kill_amid_tasks_that_travel_together(
    stand: Stand, measured: Measured, long_form: bool
) -> None:
    """Short tasks that were accepted in one message, and die with it: none takes another along."""
    points = POINTS_OF_A_GROUP if long_form else POINTS_OF_A_GROUP[::2]
    await stand.up(workers=2)
    recovery = []
    for point in points:
        crash = arm(stand.folder, point)
        submissions = [stand.ledger.begin() for _ in range(TOGETHER)]
        until = time.monotonic() + PATIENCE
        await asyncio.gather(
            *(stand.ledger.insist(item, until=until, short=True, steps=2) for item in submissions)
        )
        await wait_for(lambda armed=crash: not armed.exists(), PATIENCE)
        killed = time.monotonic()
        stand.start_worker()
        for item in submissions:
            (task_id,) = item.task_ids
            await stand.until_recorded(task_id)
        recovery.append(time.monotonic() - killed)
        await stand.until_workers(2)

    verdict = await check(stand)

    messages, tasks = len(stand.lines("delivery")), len(stand.lines("claim"))
    assert messages < tasks, "they did not travel together"
    assert max(recovery) < here(RECOVERY + 3)  # a task may wait out its neighbour's time as well
    measured(
        verdict,
        "worker: kill -9 amid tasks that share a message",
        "each goes on at its own first step without a checkpoint",
        recovery=recovery,
        repeated=len(points),
    )


async def test_kill_in_mid_step(stand: Stand, measured: Measured, long_form: bool) -> None:
    times = 10 if long_form else 1
    await stand.up(workers=2)
    recovery = []
    for n in range(times):
        gate = stand.folder / f"gate{n}"
        task_id = await stand.ledger.accept(hold=str(gate))
        await stand.until_begun(task_id, step=1)
        (line,) = stand.lines("begin", task_id, step=1)
        (victim,) = [worker for worker in stand.alive if worker.pid == line["pid"]]
        victim.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        stand.start_worker()
        await wait_for(lambda tid=task_id: len(stand.lines("begin", tid, 1)) == 2, PATIENCE)
        recovery.append(time.monotonic() - killed)
        gate.touch()
        await stand.until_recorded(task_id)
        assert len(stand.lines("begin", task_id, step=0)) == 1, "the finished step ran again"
        await stand.until_workers(2)
    assert max(recovery) < here(RECOVERY)

    verdict = await check(stand)

    measured(
        verdict,
        "worker: kill -9 in mid-step",
        "the interrupted step runs again elsewhere, the finished ones do not",
        recovery=recovery,
        repeated=times,
    )


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("only_long")
async def test_kill_under_load(stand: Stand, measured: Measured) -> None:
    times = 10
    await stand.up(workers=2)
    recovery = []
    async with stand.ledger.load(seconds=0.05):
        for _ in range(times):
            before = len(stand.lines("end"))
            await wait_for(lambda seen=before: len(stand.lines("end")) > seen + 20, PATIENCE)
            victim = stand.alive[0]
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            killed = time.monotonic()
            held = _held_by(stand, victim.pid)
            stand.start_worker()
            await stand.until_workers(2)
            await wait_for(lambda ids=held: all(map(stand.has_ended, ids)), PATIENCE)
            if held:
                recovery.append(_latest_end(stand, held) - killed)

    verdict = await check(stand)

    measured(
        verdict,
        "worker: kill -9 under load",
        "whatever it held ends elsewhere",
        recovery=recovery,
        repeated=times,
    )


def _held_by(stand: Stand, pid: int) -> list[str]:
    """Tasks that this process had begun and not ended."""
    mine = {line["task"] for line in stand.lines("begin") if line["pid"] == pid}
    return [task_id for task_id in mine if not stand.has_ended(task_id)]


def _latest_end(stand: Stand, task_ids: list[str]) -> float:
    return max(line["at"] for line in stand.lines("end") if line["task"] in task_ids)
