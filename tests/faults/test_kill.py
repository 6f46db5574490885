"""kill -9, and what a client sees of it: nothing but a second attempt."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from stepline.client import Client, Task
from stepline.contract import EventKind, Status

from tests.acceptance.conftest import Deployment
from tests.waiting import here, wait_for

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[bytes]]
Healthy = Callable[[Deployment], None]

BATCH = {
    "chain_type": "enrich_notify",
    "batch_requests": [
        {"request_type": "data_enrichment", "data": {"payload": {"country": "France", "n": n}}}
        for n in range(3)
    ],
}


async def until_step(task: Task, current: float) -> None:
    async for event in task.events():
        if event.kind is EventKind.STEP_PROGRESS and (event.current or 0) >= current:
            return


@pytest.mark.services
async def test_another_worker_goes_on_where_a_killed_one_was(
    apart: Deployment, start: Start, healthy: Healthy
) -> None:
    processes = [start(apart, "workers") for _ in range(2)]
    healthy(apart)
    async with Client(apart.url) as client:
        # both are there before the task begins: how long one takes to start is not what is tried
        await wait_for(lambda: _workers(client, 2), timeout=30)
        task = await client.submit("long", {"duration": 8})
        await until_step(task, 2)
        holder = (await task.status()).worker or ""

        victim = next(process for process in processes if holder.endswith(f":{process.pid}"))
        victim.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        events = []
        recovered = None
        async for event in task.events():
            events.append(event)
            if event.kind is EventKind.STARTED and event.attempt == 2:
                recovered = time.monotonic() - killed

        assert recovered is not None
        assert recovered < here(5.0)
        seconds = [event.current for event in events if event.kind is EventKind.STEP_PROGRESS]
        assert seconds == sorted(set(seconds)), "no second is worked twice"
        assert seconds[-1] == 8
        assert (await task.result()).status is Status.SUCCESS


async def _workers(client: Client, count: int) -> bool:
    body = (await client.request("GET", "/tasks/active")).json()
    return len(body["workers"]) >= count


@pytest.mark.services
async def test_two_workers_share_the_load(
    apart: Deployment, start: Start, healthy: Healthy
) -> None:
    for _ in range(2):
        start(apart, "workers")
    healthy(apart)
    async with Client(apart.url) as client:
        await wait_for(lambda: _workers(client, 2), timeout=30)
        tasks = [await client.submit("long", {"duration": 1}) for _ in range(24)]
        ended = await asyncio.gather(*(task.finished(timeout=60) for task in tasks))
        workers = {(await task.status()).worker for task in tasks}

    assert {result.status for result in ended} == {Status.SUCCESS}
    assert len(workers) == 2


@pytest.mark.services
async def test_a_stopping_worker_loses_nothing_and_fails_nothing(
    apart: Deployment, start: Start, healthy: Healthy
) -> None:
    first = start(apart, "workers")
    healthy(apart)
    async with Client(apart.url) as client:
        task = await client.submit("long", {"duration": 8})
        await until_step(task, 1)

        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 15) == 0
        start(apart, "workers")

        ended = await task.finished(timeout=30)
        status = await task.status()

    assert ended.status is Status.SUCCESS
    assert status.attempt == 2


async def test_a_killed_embedded_stack_goes_on_at_its_next_start(
    embedded: Deployment, start: Start, healthy: Healthy
) -> None:
    process = start(embedded, "api.embedded")
    healthy(embedded)
    async with Client(embedded.url) as client:
        running = await client.submit("long", {"duration": 2})
        waiting = [await client.submit("chain_batch", BATCH) for _ in range(5)]
        await until_step(running, 1)

    process.send_signal(signal.SIGKILL)
    process.wait()
    start(embedded, "api.embedded")
    healthy(embedded)

    async with Client(embedded.url) as client:
        for task_id in [running.id, *(task.id for task in waiting)]:
            ended = await client.task(task_id).finished(timeout=30)
            assert ended.status is Status.SUCCESS


async def test_what_has_ended_is_readable_after_a_restart(
    embedded: Deployment, start: Start, healthy: Healthy
) -> None:
    process = start(embedded, "api.embedded")
    healthy(embedded)
    async with Client(embedded.url) as client:
        task = await client.submit("quick", {"numbers": [1, 2], "task_name": "remembered"})
        await task.wait(timeout=10)
        before = [event.kind async for event in task.events()]
        recorded = await wait_for(lambda: _listed(client, task.id))

    assert recorded
    process.send_signal(signal.SIGKILL)
    process.wait()
    start(embedded, "api.embedded")
    healthy(embedded)

    async with Client(embedded.url) as client:
        task = client.task(task.id)
        status = await task.status()
        assert (status.status, status.task_name) == (Status.SUCCESS, "remembered")
        assert [step.status for step in status.steps] == ["completed"]
        assert (await task.result()).result["sum"] == 3
        assert [event.kind async for event in task.events()] == before


async def _listed(client: Client, task_id: str) -> bool:
    page = (await client.request("GET", "/tasks/?status=SUCCESS")).json()
    return any(task["task_id"] == task_id for task in page["tasks"])
