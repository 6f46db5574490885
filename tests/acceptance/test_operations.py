"""What operators look at and act on, over HTTP and by the SDK, in both modes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx2
import pytest
from stepline.client import Client
from stepline.contract import (
    FailureGroup,
    Queue,
    QueuePaused,
    QueueResumed,
    ServiceEvent,
    Stats,
    Status,
    TaskDetail,
    WorkerTask,
)
from stepline.errors import Conflict, NotFound

from tests.waiting import wait_for

OBEYED_WITHIN = 2.0
"""Seconds until every worker obeys an order."""

MAIL = {"recipient": "user@company.com", "subject": "s", "message": "m"}
NOBODY = "01900000-0000-7000-8000-000000000000"


async def recorded(client: Client, task_id: str) -> TaskDetail:
    """The whole task, once history has it."""

    async def look() -> TaskDetail | None:
        found = await client.task(task_id).detail()
        return found if found.recorded and found.payload is not None else None

    found = await wait_for(look)
    assert found is not None
    return found


async def test_a_task_is_told_as_a_whole(client: Client) -> None:
    body = {
        "request_type": "data_transformation",
        "chain_type": "transform_export",
        "data": {"payload": {"name": " a "}, "transformations": {"name": "strip"}},
    }
    task = await client.submit("chain", body, wait=20)

    whole = await recorded(client, task.id)

    assert whole.status is Status.SUCCESS
    assert whole.payload == body
    assert whole.result["success"] is True
    assert whole.handlers == ["transformation", "export"]
    (attempt,) = whole.attempts
    assert attempt.outcome == "succeeded"
    assert attempt.worker == whole.worker
    assert [(step.handler, step.status) for step in attempt.steps] == [
        ("transformation", "completed"),
        ("export", "completed"),
    ]
    assert all(step.duration is not None for step in attempt.steps)
    assert attempt.steps[0].output is not None
    assert attempt.events[0].kind == "started"
    assert whole.waiting is None


async def test_a_retry_is_linked_both_ways(client: Client, http: httpx2.AsyncClient) -> None:
    task = await client.submit("quick", {"numbers": [1]}, wait=20)
    answer = await http.post(f"/tasks/{task.id}/retry", headers={"Prefer": "wait=20"})
    again = answer.json()["task_id"]

    async def linked() -> bool:
        return (await client.task(task.id).detail()).retried_by == [again]

    await wait_for(linked)
    assert (await client.task(again).detail()).retry_of == task.id


async def test_a_deferred_task_says_until_when_it_waits(client: Client) -> None:
    task = await client.submit("quick", {"numbers": [1], "delay": 3600})

    whole = await client.task(task.id).detail()

    assert whole.waiting is not None
    assert (whole.waiting.reason, whole.waiting.until) == ("scheduled", whole.run_at)


async def test_an_unknown_task_is_404(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.task(NOBODY).detail()


async def queue_of(client: Client, name: str) -> Queue:
    (found,) = [queue for queue in await client.queues.list() if queue.name == name]
    return found


async def test_a_paused_queue_accepts_and_waits_and_says_so(client: Client) -> None:
    state = await client.queues.pause("email_tasks", "the mail provider is down")
    try:
        assert state.paused is not None
        assert (state.paused.by, state.paused.reason) == ("anonymous", "the mail provider is down")
        health = await client.health()
        assert (health.status, health.paused_queues) == ("healthy", ["email_tasks"])
        await asyncio.sleep(OBEYED_WITHIN)  # the promise is of a time
        task = await client.submit("email", MAIL)

        async def waits() -> bool:
            queue = await queue_of(client, "email_tasks")
            return (queue.waiting, queue.messages) == (1, 1)

        await wait_for(waits)
        queue = await queue_of(client, "email_tasks")
        assert (queue.paused, queue.running, queue.types) == (state.paused, 0, ["email"])
        assert queue.consumers >= 1
        assert queue.oldest_age is not None
        waiting = (await task.detail()).waiting
        assert waiting is not None
        assert waiting.reason == "queue_paused"
        assert "the mail provider is down" in waiting.message
    finally:
        await client.queues.resume("email_tasks")
    await task.wait(20)
    assert (await queue_of(client, "email_tasks")).paused is None
    assert (await client.health()).paused_queues == []
    paused, resumed = await asyncio.wait_for(told_of(client, "email_tasks"), 10)
    assert (paused.kind, resumed.kind) == ("queue.paused", "queue.resumed")
    assert paused.reason == "the mail provider is down"


async def told_of(client: Client, queue: str) -> list[ServiceEvent]:
    """The first two things that the feed tells of a queue itself."""
    told: list[ServiceEvent] = []
    async with aclosing(client.feed(queue=queue, after="0")) as feed:
        async for event in feed:
            if isinstance(event, QueuePaused | QueueResumed):
                told.append(event)
            if len(told) == 2:
                break
    return told


async def test_a_drained_worker_takes_nothing_until_it_may_again(client: Client) -> None:
    (worker,) = await client.workers.list()
    assert (worker.state, worker.draining) == ("running", None)
    assert worker.last_beat_age < 3
    assert "long_tasks" in worker.queues
    assert worker.concurrency > 0

    await client.workers.drain(worker.id, "its machine is to be mended")
    try:
        (drained,) = await client.workers.list()
        assert drained.state == "draining"
        assert drained.draining is not None
        assert drained.draining.reason == "its machine is to be mended"
        assert (await client.health()).draining_workers == [worker.id]
        await asyncio.sleep(OBEYED_WITHIN)  # the promise is of a time
        task = await client.submit("long", {"duration": 1})
        detail = await task.detail()
        assert detail.waiting is not None
        assert detail.waiting.reason == "no_worker"
    finally:
        await client.workers.undrain(worker.id)
    await task.wait(20)


async def test_a_worker_shows_what_it_has_in_hand(client: Client) -> None:
    task = await client.submit("long", {"duration": 60, "task_name": "in hand"})

    async def in_hand() -> list[WorkerTask]:
        (worker,) = await client.workers.list()
        return [item for item in worker.tasks if item.task_id == task.id and item.percent]

    (shown,) = await wait_for(in_hand)
    assert (shown.type, shown.task_name, shown.queue) == ("long", "in hand", "long_tasks")
    assert shown.step == "long"

    async def counted() -> bool:
        (worker,) = await client.workers.list()
        held = [item for item in worker.tasks if item.queue == "long_tasks"]
        return 0 < len(held) == (await queue_of(client, "long_tasks")).running

    await wait_for(counted)  # others of these tests may have left long tasks behind
    await task.cancel()


@pytest.mark.parametrize("path", ["/queues/nothing/pause", "/queues/history/pause"])
async def test_what_is_no_queue_of_tasks_cannot_be_paused(
    http: httpx2.AsyncClient, path: str
) -> None:
    answer = await http.post(path)

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not_found")


async def test_an_unknown_worker_cannot_be_drained(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.workers.drain("worker@nowhere:1")


INVALID = {
    "request_type": "data_validation",
    "chain_type": "validation_only",
    "data": {"payload": {"a": 1}, "required_fields": ["b"]},
}


async def test_statistics_tell_of_the_window_and_of_now(client: Client) -> None:
    before = await client.stats(window=600)
    for _ in range(3):
        await client.submit("quick", {"numbers": [1]}, wait=20)
    await client.submit("chain", INVALID, wait=20)

    async def counted() -> Stats | None:
        found = await client.stats(window=600)
        return found if found.totals.failed > before.totals.failed else None

    after = await wait_for(counted)

    assert after is not None
    assert after.totals.finished - before.totals.finished >= 3
    assert after.totals.failure_rate is not None
    assert 0 < after.totals.failure_rate < 1
    assert after.now.by_status[Status.SUCCESS] == after.totals.finished
    assert after.now.workers >= 1
    assert sum(point.finished for point in after.series) == after.totals.finished
    assert (after.step, len(after.series) in (10, 11)) == (60, True)
    (quick,) = (await client.stats(window=600, type="quick")).by_type
    assert quick.type == "quick"
    assert None not in (quick.p50, quick.p99)
    assert 0 < quick.p50 <= quick.p95 <= quick.p99 < 60  # type: ignore[operator]
    queue = await queue_of(client, "quick_tasks")
    assert queue.rate_in > 0
    assert queue.rate_out > 0


@pytest.mark.parametrize("window", ["59", "2592001", "x"])
async def test_a_window_must_make_sense(http: httpx2.AsyncClient, window: str) -> None:
    answer = await http.get("/stats", params={"window": window})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "window"


async def test_failures_are_grouped_resolved_and_retried_as_a_group(client: Client) -> None:
    failed = [(await client.submit("chain", INVALID, wait=20)).id for _ in range(2)]

    async def grouped() -> FailureGroup | None:
        groups = await client.failures.list(window=600, type="chain", state="open")
        return next((group for group in groups if group.sample_task_id in failed), None)

    group = await wait_for(grouped)
    assert group is not None
    assert (group.code, group.handler, group.resolved) == ("validation_failed", "validation", None)

    async def listed() -> bool:
        found = {task.task_id async for task in client.list(fingerprint=group.fingerprint)}
        return set(failed) <= found

    await wait_for(listed)
    resolved = await client.failures.resolve(group.fingerprint)
    assert resolved.resolved is not None
    assert resolved.resolved.by == "anonymous"
    with pytest.raises(Conflict):
        await client.failures.resolve(group.fingerprint)

    before = await client.bulk.newest()
    many = await client.bulk.preview("retry", fingerprint=group.fingerprint)
    assert many >= 2
    assert await client.bulk.newest() == before
    action = await client.bulk.retry(fingerprint=group.fingerprint)
    assert (await client.bulk.wait(action.id, 30)).done == action.total == many

    async def open_again() -> bool:
        return (await client.failures.get(group.fingerprint)).resolved is None

    await wait_for(open_again)  # they failed again
    with pytest.raises(NotFound):
        await client.failures.get("0" * 16)


async def test_tasks_are_listed_by_their_worker(client: Client) -> None:
    task = await client.submit("quick", {"numbers": [1]}, wait=20)
    worker = (await task.status()).worker
    assert worker is not None

    async def listed() -> bool:
        return task.id in {item.task_id async for item in client.list(worker=worker)}

    await wait_for(listed)
    assert [item async for item in client.list(worker="worker@nowhere:1")] == []


async def test_a_deferred_task_runs_now_if_somebody_says_so(client: Client) -> None:
    task = await client.submit("quick", {"numbers": [1, 2], "delay": 3600})

    released = await task.run_now()

    assert released.status is Status.PENDING
    assert (await task.wait(20))["sum"] == 3
    with pytest.raises(Conflict) as refused:
        await task.run_now()
    assert refused.value.code == "already_ended"


async def test_what_does_not_wait_for_its_time_cannot_run_now(client: Client) -> None:
    task = await client.submit("long", {"duration": 60})
    with pytest.raises(Conflict) as refused:
        await task.run_now()
    assert refused.value.code == "not_scheduled"
    await task.cancel()
    with pytest.raises(NotFound):
        await client.task(NOBODY).run_now()
