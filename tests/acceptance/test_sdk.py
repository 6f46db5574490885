"""The SDK against the real service, over a network that fails."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from stepline import Client, Conflict, ConnectionFailed, NotFound, TaskCancelled, TaskFailed
from stepline.contract import BulkFilter, ChainRequest, EventKind, QuickRequest, Status, TaskTypes
from stepline.contract.events import Reset
from stepline.errors import BadRequest, InvalidAnswer, SteplineError, WaitTimeout

from infra.services.ports import free_port
from tests.acceptance.conftest import Deployment, until_healthy
from tests.unreliable import AMBIGUOUS, DROP, REFUSE, Network, unreliable
from tests.waiting import PATIENCE, wait_for

NUMBERS = {"numbers": [1, 2, 3]}
CHAIN = {
    "request_type": "data_transformation",
    "chain_type": "transform_export",
    "data": {"payload": {"a": "b"}, "transformations": {"a": "uppercase"}},
}
CHAIN_ITEM = ("chain", CHAIN)


async def tasks_named(client: Client, name: str) -> int:
    """How many there are, once there is one."""
    listing = client.list(text=name)
    return (await wait_for(lambda: _some(listing.page()))).total


async def _some(page):
    found = await page
    return found if found.total else None


async def test_a_submission_whose_answer_is_lost_is_one_task(client: Client) -> None:
    name = uuid4().hex
    network = Network(REFUSE, DROP, AMBIGUOUS, DROP)

    async with unreliable(client.url, network) as url, Client(url) as unlucky:
        task = await unlucky.submit("quick", NUMBERS, task_name=name)
        assert (await task.wait(timeout=20))["sum"] == 6

    assert network.connections >= 5
    assert await tasks_named(client, name) == 1


async def test_a_retry_whose_answer_is_lost_is_one_task(client: Client) -> None:
    name = uuid4().hex
    first = await client.submit("quick", NUMBERS, task_name=name)
    await first.wait(timeout=20)

    async with unreliable(client.url, Network(DROP, AMBIGUOUS)) as url, Client(url) as unlucky:
        again = await unlucky.task(first.id).retry()
        await again.wait(timeout=20)

    assert (await client.task(again.id).status()).retry_of == first.id
    assert await tasks_named(client, name) == 2


async def test_what_cannot_be_repeated_safely_is_not(client: Client) -> None:
    name = f"u{uuid4().hex[:12]}"

    async with unreliable(client.url, Network(DROP)) as url, Client(url) as unlucky:
        with pytest.raises(ConnectionFailed) as failed:
            await unlucky.users.create(username=name, email=f"{name}@example.com")

    assert failed.value.code == "connection_failed"
    assert [user.username async for user in client.users.list()].count(name) == 1


async def test_a_stream_that_keeps_breaking_has_no_gap_and_no_double(client: Client) -> None:
    task = await client.submit("long", {"duration": 2})
    network = Network(then=900)  # the headers and some two events, each time

    # a second without an event is longer than its patience: only being away counts
    async with unreliable(client.url, network) as url, Client(url, patience=0.5) as unlucky:
        broken = [event async for event in unlucky.task(task.id).events()]

    whole = [event async for event in client.task(task.id).events()]
    assert [(event.id, event.kind) for event in broken] == [
        (event.id, event.kind) for event in whole
    ]
    assert broken[-1].terminal
    assert network.connections > 2


async def test_a_stream_goes_on_over_a_restart_of_the_api(deployment: Deployment) -> None:
    if deployment.mode == "embedded":
        pytest.skip("the whole service would go: tests/faults has that")
    port = free_port()
    second = Deployment(
        f"http://127.0.0.1:{port}",
        deployment.mode,
        deployment.environment | {"STEPLINE_API_PORT": str(port)},
        deployment.folder,
    )
    seen = []
    half = asyncio.Event()

    async def read(client: Client, task_id: str) -> None:
        async for event in client.task(task_id).events():
            seen.append(event)
            if event.kind is EventKind.STEP_PROGRESS:
                half.set()

    async with Client(second.url) as client:
        with second.process("api"):
            await asyncio.to_thread(until_healthy, second)
            task = await client.submit("long", {"duration": 4})
            reading = asyncio.create_task(read(client, task.id))
            await asyncio.wait_for(half.wait(), 20)
        with second.process("api"):
            await asyncio.wait_for(reading, 40)

    async with Client(deployment.url) as other:
        whole = [event.id async for event in other.task(task.id).events()]
    assert [event.id for event in seen] == whole
    assert seen[-1].kind is EventKind.SUCCEEDED


async def test_events_after_the_last_are_none_and_after_an_unknown_one_a_reset(
    client: Client,
) -> None:
    task = await client.submit(ChainRequest.model_validate(CHAIN))
    events = [event async for event in task.events()]

    assert [event async for event in task.events(after=events[-1].id)] == []
    assert [event.id async for event in task.events(after=events[2].id)] == [
        event.id for event in events[3:]
    ]
    (reset,) = [event async for event in task.events(after="9-9")]
    assert isinstance(reset, Reset)
    assert (reset.snapshot.status, reset.terminal) == (Status.SUCCESS, True)


async def test_what_a_task_gives_and_how_it_fails(client: Client) -> None:
    done = await client.submit(QuickRequest(numbers=[1, 2]), wait=10, task_name="with a name")
    assert done.accepted is not None
    assert done.accepted.status is Status.SUCCESS
    assert (await done.wait())["average"] == 1.5
    assert (await done.status()).task_name == "with a name"

    bad = {**CHAIN, "chain_type": "validation_only"}
    bad["data"] = {"payload": {"a": 1}, "required_fields": ["b"]}
    task = await client.submit("chain", bad)
    with pytest.raises(TaskFailed) as failed:
        await task.wait(timeout=20)
    assert (failed.value.code, failed.value.task_id) == ("validation_failed", task.id)
    assert failed.value.ended.result["success"] is False


async def test_when_and_until_when(client: Client) -> None:
    later = await client.submit("quick", NUMBERS, delay=timedelta(hours=1))
    assert (await later.status()).status is Status.SCHEDULED
    at = datetime.now(UTC) + timedelta(hours=2)
    much_later = await client.submit("quick", NUMBERS, run_at=at, deadline=at + timedelta(hours=1))
    assert (await much_later.status()).run_at == at

    with pytest.raises(WaitTimeout, match="had not ended after"):
        await later.wait(timeout=0.2)
    assert (await later.cancel("not needed")).status is Status.CANCELLED
    assert (await later.cancel()).status is Status.CANCELLED  # it is what was wanted
    with pytest.raises(TaskCancelled):
        await later.wait(timeout=PATIENCE)
    await much_later.cancel()

    with pytest.raises(ValueError, match="run_at: give it a time zone"):
        await client.submit("quick", NUMBERS, run_at=datetime(2030, 1, 1))


async def test_a_key_of_ones_own_gives_the_same_task(client: Client) -> None:
    key = uuid4().hex
    first = await client.submit("quick", NUMBERS, idempotency_key=key)
    second = await client.submit("quick", NUMBERS, idempotency_key=key)
    assert first.id == second.id
    with pytest.raises(BadRequest) as refused:
        await client.submit("quick", {"numbers": [9]}, idempotency_key=key)
    assert refused.value.code == "idempotency_key_reused"


async def test_many_at_once_keep_their_order_and_fail_alone(client: Client) -> None:
    items = [("quick", {"numbers": [n]}) for n in range(20)]
    items[7] = ("quick", {"numbers": []})
    items[9] = ("no_such_type", {})

    outcomes = await client.batch(items, concurrency=4, timeout=30)

    assert [
        outcome.code if isinstance(outcome, SteplineError) else outcome.result["sum"]
        for outcome in outcomes
    ] == [*range(7), "invalid_request", 8, "unknown_task_type", *range(10, 20)]
    submitted = await client.submit_many(items[:3], delay=3600)
    assert await client.submit_many([]) == []
    for task in submitted:
        await task.cancel()


async def test_many_in_one_request_are_tasks_of_their_own(client: Client) -> None:
    items = [QuickRequest(numbers=[1, 2]), ("quick", {"numbers": []}), ("no_type", {}), CHAIN_ITEM]
    name = uuid4().hex

    network = Network(REFUSE, DROP, AMBIGUOUS)
    async with unreliable(client.url, network) as url, Client(url) as unlucky:
        task, empty, unknown, chain = await unlucky.submit_bulk(items, task_name=name)
        assert (await task.wait(timeout=20))["sum"] == 3
        assert (await chain.wait(timeout=20))["success"]

    assert isinstance(empty, BadRequest)
    assert empty.errors[0]["field"] == "payload.numbers"
    assert isinstance(unknown, NotFound)
    assert await tasks_named(client, name) == 2


async def test_a_list_goes_over_its_pages(client: Client) -> None:
    name = uuid4().hex
    made = await client.submit_many([QuickRequest(numbers=[1])] * 5, task_name=name)
    listing = client.list(text=name, type="quick", page_size=2)
    await wait_for(lambda: _count(listing, 5))

    assert {task.task_id async for task in listing} == {task.id for task in made}
    pages = [page async for page in listing.pages()]
    assert [len(page.tasks) for page in pages] == [2, 2, 1]
    second = await listing.page(pages[0].next)
    assert [task.task_id for task in second.tasks] == [task.task_id for task in pages[1].tasks]
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert [task async for task in client.list(until=long_ago)] == []


async def _count(listing, wanted):
    return len([item async for item in listing]) == wanted


async def test_users_come_change_and_go(client: Client) -> None:
    name = f"u{uuid4().hex[:12]}"
    user = await client.users.create(username=name, email=f"{name}@example.com")
    with pytest.raises(Conflict):
        await client.users.create(username=name, email=f"x{name}@example.com")
    assert (await client.users.change(user.id, email=f"y{name}@example.com")).username == name
    assert (await client.users.get(user.id)).email == f"y{name}@example.com"
    assert user.id in [found.id async for found in client.users.list(page_size=3)]
    await client.users.delete(user.id)
    with pytest.raises(NotFound):
        await client.users.get(user.id)


async def test_bulk_does_it_to_all_that_fit(client: Client) -> None:
    name = uuid4().hex
    tasks = await client.submit_many([QuickRequest(numbers=[1])] * 3, task_name=name, delay=3600)
    await wait_for(lambda: _count(client.list(text=name), 3))

    action = await client.bulk.cancel(text=name)
    ended = await client.bulk.wait(action.id, timeout=60)

    assert (ended.state, ended.done, ended.total) == ("done", 3, 3)
    assert [task.status async for task in client.list(text=name)] == [Status.CANCELLED] * 3
    assert action.id in [item.id for item in await client.bulk.newest()]
    assert [item.state async for item in client.bulk.progress(action.id)] == ["done"]
    with pytest.raises(Conflict):
        await client.bulk.abort(action.id)
    assert set(BulkFilter.model_fields) >= {"status", "type", "queue", "text"}
    assert len(tasks) == 3


async def test_exports_are_read_streamed_and_downloaded(client: Client, tmp_path: Path) -> None:
    report = await (await client.submit(ChainRequest.model_validate(CHAIN))).wait(timeout=20)
    export = report["processed_data"]["export_result"]

    whole = await client.exports.read(export["filename"])
    assert len(whole) == export["size_bytes"]
    path = await client.exports.download(export["download"], tmp_path)
    assert (path.name, path.read_bytes()) == (export["filename"], whole)
    with pytest.raises(NotFound):
        await client.exports.download("nothing.json", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [export["filename"]]


async def test_the_feed_tells_of_all_tasks(client: Client) -> None:
    watching = asyncio.create_task(_first_success(client))
    while not watching.done():
        await (await client.submit("quick", NUMBERS)).wait(timeout=20)
    event = await watching
    assert (event.type, event.queue) == ("quick", "quick_tasks")


async def _first_success(client: Client):
    async for event in client.feed(type="quick", status=Status.SUCCESS):
        return event
    pytest.fail("the feed has ended")


async def test_a_feed_that_keeps_breaking_has_no_gap_and_no_double(client: Client) -> None:
    network = Network(420, 700, then=1_500)  # the first time before any event is whole
    seen: list[tuple[str, str]] = []

    async def read(url: str) -> None:
        async with Client(url) as unlucky:
            async for event in unlucky.feed(type="quick"):
                seen.append((event.task_id, event.kind.value))  # noqa: PERF401 - looked at meanwhile

    async with unreliable(client.url, network) as url:
        reading = asyncio.create_task(read(url))
        await wait_for(lambda: b"\nid: " in network.passed)  # it knows where it is
        tasks = [(await client.submit("quick", NUMBERS)).id for _ in range(5)]
        await wait_for(lambda: all((task, "succeeded") in seen for task in tasks), timeout=30)
        reading.cancel()

    kinds = ["queued", "started", "step.started", "step.completed", "succeeded"]
    for task in tasks:
        assert [kind for seen_id, kind in seen if seen_id == task] == kinds


async def test_the_service_tells_of_itself(client: Client) -> None:
    health = await client.health()
    assert health.healthy
    assert set(health.checks) == {"broker", "redis", "database", "workers"}
    assert "quick" in {item.name for item in await client.task_types()}
    assert (await client.active()).workers
    assert (await client.ticket()).ticket
    assert (await client.dead_letters.list().page()).dead_letters is not None


async def test_nobody_there_is_said_so_once_patience_is_at_its_end() -> None:
    async with Client(f"http://127.0.0.1:{free_port()}", patience=0.5) as nowhere:
        with pytest.raises(ConnectionFailed):
            await nowhere.health()
        with pytest.raises(ConnectionFailed):
            await anext(nowhere.task("x").events())
    async with Client(f"http://ada:secret@127.0.0.1:{free_port()}", patience=0) as nowhere:
        with pytest.raises(ConnectionFailed) as failed:
            await nowhere.health()
        assert "secret" not in str(failed.value)
    with pytest.raises(ValueError, match="http"):
        Client("localhost:8000")


async def test_an_answer_that_is_not_steplines_is_said_so(client: Client) -> None:
    async with Client(f"{client.url}/health") as lost:  # a path too far
        with pytest.raises(SteplineError):
            await lost.task_types()
    with pytest.raises(InvalidAnswer, match="no TaskTypes in the answer"):
        await client._transport.call(TaskTypes, "GET", "/health/live")
