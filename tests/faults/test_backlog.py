"""A long queue of waiting tasks is nothing to be rescued."""

from __future__ import annotations

import asyncio
import signal

import pytest

from infra.actions.accept import accept_together
from infra.actions.draft import draft
from infra.resources import Resources
from infra.state.barriers import Barrier
from tests.faults.journal import Lines
from tests.faults.kinds import SHORT, Work, fault_registry
from tests.faults.stand import QUEUES, Stand
from tests.waiting import wait_for
from workers.rescue import sweep

COUNT = 100_000
TOGETHER = 32
QUEUE = "chain_tasks"
PATIENCE = 1_500.0


@pytest.mark.timeout(3_000)
@pytest.mark.usefixtures("only_long")
async def test_a_backlog_is_left_alone(stand: Stand) -> None:
    await stand.up()
    (worker,) = stand.alive
    worker.send_signal(signal.SIGTERM)
    await asyncio.to_thread(worker.wait)
    stand.settings["STEPLINE_WORKER_QUEUES"] = "history"
    stand.start_worker()
    await stand.until_workers(1)
    before = len(stand.lines("begin"))
    async with stand.resources() as resources:
        await _fill(stand, resources)
        await wait_for(lambda: asyncio.to_thread(_all_recorded, stand), PATIENCE)

        assert await sweep(resources, QUEUES) == 0
        await wait_for(lambda: _past_history(resources), PATIENCE)
        assert await sweep(resources, QUEUES) == 0

        waiting = await resources.broker.depth(QUEUE)
        assert waiting == COUNT // TOGETHER + 1, "the messages, and the barrier behind them"
        barrier = await resources.barriers.current()
        assert barrier is not None
        assert QUEUE not in barrier.passed
    assert len(stand.lines("begin")) == before


async def _fill(stand: Stand, resources: Resources) -> None:
    registry = fault_registry(Lines(stand.folder))
    numbers = iter(range(1, COUNT + 1))

    async def publish() -> None:
        for number in numbers:
            tasks = []
            for n in [number, *(next(numbers) for _ in range(TOGETHER - 1))]:
                (task,) = draft(registry, {}, SHORT, Work(n=n, steps=1)).tasks
                tasks.append(task.encode())
            await accept_together(resources, QUEUE, tasks)

    await asyncio.gather(*(publish() for _ in range(4)))


def _all_recorded(stand: Stand) -> bool:
    count: int = stand.sql("SELECT COUNT(*) AS n FROM tasks")[0]["n"]
    return count > COUNT


async def _past_history(resources: Resources) -> bool:
    barrier: Barrier | None = await resources.barriers.current()
    return barrier is not None and "history" in barrier.passed
