"""All processes and all services killed at once, and started again: what waits for its time, and
what was ordered, is still there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from stepline.client import Client, Task
from stepline.contract import EventKind, Status

from tests.faults.stand import Stand
from tests.killing import kill_broker
from tests.waiting import here, wait_for

pytestmark = pytest.mark.slow

OBEYED_WITHIN = 2.0
"""Seconds until every worker obeys an order."""

NUMBERS = {"numbers": [1, 2]}
LATE = 1.0
"""Seconds by which a deferred task may begin too late, where nothing is down."""


async def begun_at(task: Task) -> datetime:
    async for event in task.events():
        if event.kind is EventKind.STARTED:
            return event.at
    raise AssertionError("the stream ended without a start")


async def test_what_waits_outlives_a_restart_of_everything(stand: Stand) -> None:
    await stand.up()
    stand.start_cron()
    async with stand.client() as client:
        await client.queues.pause("email_tasks", "its server is being moved")
        await asyncio.sleep(OBEYED_WITHIN)  # the promise is of a time
        paused = await client.submit(
            "email", {"recipient": "a@example.com", "subject": "s", "message": "m"}
        )
        overdue = await client.submit("quick", NUMBERS | {"delay": 2})
        later = await client.submit("quick", NUMBERS | {"delay": 3600})
        await wait_for(lambda: scheduled(client, {overdue.id, later.id}))

    await kill_everything(stand)
    await start_everything(stand)

    async with stand.client() as client:
        assert (await client.task(overdue.id).finished(timeout=40)).status is Status.SUCCESS
        # what was to happen in an hour: now, and to the second
        due = datetime.now(UTC)
        await client.task(later.id).run_now()
        late = (await begun_at(client.task(later.id)) - due).total_seconds()
        assert (await client.task(later.id).finished(timeout=20)).status is Status.SUCCESS
        assert late < here(LATE + 0.5)  # the cron process looks twice a second

        assert (await client.health()).paused_queues == ["email_tasks"]
        waiting = (await client.task(paused.id).detail()).waiting
        assert waiting is not None
        assert waiting.reason == "queue_paused"
        await client.queues.resume("email_tasks")
        assert (await client.task(paused.id).finished(timeout=20)).status is Status.SUCCESS


async def scheduled(client: Client, task_ids: set[str]) -> bool:
    found = [task.task_id async for task in client.list(status=Status.SCHEDULED)]
    return task_ids <= set(found)


async def kill_everything(stand: Stand) -> None:
    for process in [stand.api, *stand.workers, *stand.crons]:
        assert process is not None
        process.kill()
        process.wait()
    services = stand.services
    await asyncio.to_thread(kill_broker, services.rabbitmq)
    await asyncio.to_thread(services.redis.kill)
    await asyncio.to_thread(services.mariadb.kill)


async def start_everything(stand: Stand) -> None:
    services = stand.services
    await asyncio.gather(
        *(
            asyncio.to_thread(service.start)
            for service in (services.rabbitmq, services.redis, services.mariadb)
        )
    )
    stand.start_api()
    stand.start_worker()
    stand.start_cron()
    await stand.until_workers(1)
    await stand.until_answering()
