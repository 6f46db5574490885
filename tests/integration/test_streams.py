"""Streams as sockets see them: replay and live as one, resets, readers that stall or leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from stepline.contract import LongRequest

from api.embedded import embedded_app
from api.heartbeat import Heartbeat
from api.submission import Submitter
from infra.settings import Settings
from infra.state.feed import FEED
from infra.state.redis import StateUnavailable
from tests.streams import Api, RunningTask, serving, serving_api
from tests.waiting import wait_for

LARGE = "x" * 30_000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_api(tmp_path) as api:
        yield api


def viewers(api: Api) -> int:
    return sum(len(several) for several in api.resources.hub._listeners.values())


async def test_what_is_kept_and_what_happens_come_as_one(api: Api) -> None:
    task = await api.task()
    await task.write("a", "b")
    stream = await api.stream(task.path)
    assert await stream.ids(4) == ["0-1", "1-1", "1-2", "1-3"]

    await task.write("c")
    await task.end()

    assert await stream.ids(2) == ["1-4", "1-5"]
    with pytest.raises(EOFError):
        await stream.frame()
    await stream.ask(task.path, "1-4")  # the connection is as good as new
    assert await stream.ids(1) == ["1-5"]


async def test_nothing_is_missed_or_doubled_while_viewers_come(api: Api) -> None:
    task = await api.task()

    async def write() -> None:
        for _ in range(300):
            await task.write("x")
        await task.end()

    async def watch() -> list[str]:
        stream = await api.stream(task.path)
        seen = []
        while not seen or seen[-1] != "1-302":
            seen.append((await stream.frame())["id"])
        return seen

    writing = asyncio.create_task(write())
    watching = []
    for _ in range(30):
        watching.append(asyncio.create_task(watch()))
        await asyncio.sleep(0.002)  # they come at any moment of it

    whole = ["0-1", *(f"1-{seq}" for seq in range(1, 303))]
    assert all(seen == whole for seen in await asyncio.gather(*watching))
    await writing


async def test_an_id_that_was_dropped_gets_a_snapshot_and_what_is_kept_after_it(api: Api) -> None:
    task = await api.task()
    for text in "abcd":  # 1-2 … 1-5
        await task.write(text)
    await task.write("e", drop=[(1, 3)])

    stream = await api.stream(task.path, "1-3")

    reset = await stream.frame()
    assert (reset["event"], reset["id"]) == ("reset", "1-3")
    assert reset["data"]["status"] == "RUNNING"
    assert await stream.ids(3) == ["1-4", "1-5", "1-6"]
    await task.write("f")
    assert await stream.ids(1) == ["1-7"]


@pytest.mark.parametrize("impossible", ["9-9", "1-7", "rubbish"])
async def test_an_id_ahead_of_all_gets_a_snapshot_and_what_follows(
    api: Api, impossible: str
) -> None:
    task = await api.task()
    await task.write("a")

    stream = await api.stream(task.path, impossible)

    reset = await stream.frame()
    assert (reset["event"], reset["id"]) == ("reset", "1-2")
    await task.write("b")
    assert await stream.ids(1) == ["1-3"]


async def test_what_only_history_knows_is_replayed_after_progress_that_it_does_not_keep(
    tmp_path: Path,
) -> None:
    async with serving(embedded_app(Settings(data_dir=tmp_path))) as api:
        submitter: Submitter = api.app.state.taking.submitter
        envelope = submitter.draft("long", LongRequest(duration=1))
        await submitter.submit(envelope)
        task_id = envelope.tasks[0].id
        path = f"/tasks/{task_id}/events"
        first = await api.stream(path)
        frames = [await first.frame() for _ in range(6)]
        (progress,) = (frame["id"] for frame in frames if frame["event"] == "step.progress")
        await forgotten(api, task_id)

        stream = await api.stream(path, progress)

        reset = await stream.frame()
        assert (reset["event"], reset["id"]) == ("reset", progress)
        assert reset["data"]["status"] == "SUCCESS"
        assert [(await stream.frame())["event"] for _ in range(2)] == [
            "step.completed",
            "succeeded",
        ]
        with pytest.raises(EOFError):
            await stream.frame()


async def forgotten(api: Api, task_id: str) -> None:
    """Redis forgets all, once history has the task's end."""

    async def recorded() -> bool:
        record = await api.resources.history.get(task_id)
        return record is not None and record.status.ended

    await wait_for(recorded)
    await api.resources.state._client.flushall()


async def test_a_reader_that_stops_reading_holds_up_nobody_and_misses_nothing(api: Api) -> None:
    task = await api.task()
    slow = await api.stream(task.path, receive_buffer=4096)
    quick = await api.stream(task.path)
    assert await quick.ids(2) == ["0-1", "1-1"]

    count = await until_full(api, task)

    whole = ["0-1", *(f"1-{seq}" for seq in range(1, count + 2))]
    assert await quick.ids(count) == whole[2:]
    assert await slow.ids(len(whole)) == whole
    await task.end()
    assert await slow.ids(1) == await quick.ids(1)


async def test_a_reader_that_takes_nothing_is_cut_and_may_come_back(api: Api) -> None:
    api.app.state.heartbeat = Heartbeat(every=0.2, parts=2)
    task = await api.task()
    stalled = await api.stream(task.path, receive_buffer=4096)
    quick = await api.stream(task.path)
    assert await stalled.ids(2) == await quick.ids(2) == ["0-1", "1-1"]

    count = await until_full(api, task)

    async def read() -> None:
        while True:
            await quick.frame()

    reading = asyncio.create_task(read())
    await wait_for(lambda: viewers(api) == 1)
    reading.cancel()
    back = await api.stream(task.path, "1-1")
    assert await back.ids(count) == [f"1-{seq}" for seq in range(2, count + 2)]


async def until_full(api: Api, task: RunningTask) -> int:
    """Write until a reader's connection takes no more; returns how many events that took."""
    heartbeat: Any = api.app.state.heartbeat
    for count in range(1, 500):
        await task.write(LARGE)
        if any(wire.full for part in heartbeat._parts for wire in part):
            await task.write("after")
            return count + 1
    raise AssertionError("the kernel took all of it")


async def test_a_reader_that_leaves_is_forgotten(api: Api) -> None:
    task = await api.task()
    streams = [await api.stream(task.path) for _ in range(3)]
    await wait_for(lambda: viewers(api) == 3)

    for stream in streams:
        await stream.close()

    await wait_for(lambda: viewers(api) == 0)
    await wait_for(lambda: not api.resources.hub._listeners)
    heartbeat: Any = api.app.state.heartbeat
    assert not any(heartbeat._parts)


async def test_a_reader_that_leaves_before_its_stream_begins_is_forgotten(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, subscribed = await api.task(), asyncio.Event()
    subscribe = api.resources.hub._subscribe

    async def slowly(name: str) -> None:
        await subscribe(name)
        await subscribed.wait()

    monkeypatch.setattr(api.resources.hub, "_subscribe", slowly)
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(f"GET {task.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await wait_for(lambda: viewers(api) == 1)

    writer.transport.abort()
    await wait_for(lambda: not api.server.server_state.connections)
    subscribed.set()

    await wait_for(lambda: not api.resources.hub._listeners)


async def test_a_stream_in_which_nothing_happens_says_that_it_lives(api: Api) -> None:
    api.app.state.heartbeat = Heartbeat(every=0.1, parts=1)
    task = await api.task()
    stream = await api.stream(task.path)
    assert await stream.ids(2) == ["0-1", "1-1"]

    assert [await stream.part() for _ in range(2)] == [b": ping\n\n"] * 2


async def test_a_server_that_stops_ends_its_streams_in_order(api: Api) -> None:
    task = await api.task()
    one, feed = await api.stream(task.path), await api.stream("/events")
    assert await one.ids(2) == ["0-1", "1-1"]

    api.server.leave()

    for stream in (one, feed):
        with pytest.raises(EOFError):
            await stream.frame()


async def test_a_viewer_stays_while_redis_is_away(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, state = await api.task(), api.resources.state
    reads = 0
    real: Callable[..., Any] = state.events_from

    async def away(*asked: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == 1:
            raise StateUnavailable("Redis: away")
        return await real(*asked)

    monkeypatch.setattr(state, "events_from", away)
    monkeypatch.setattr("api.viewer.AWAY_PAUSE", 0.01)

    stream = await api.stream(task.path)

    assert await stream.ids(2) == ["0-1", "1-1"]


async def test_the_feed_resets_a_reader_whose_place_was_dropped(api: Api) -> None:
    stream = await api.stream("/events")
    task = await api.task()
    await task.write("a")
    ids = await stream.ids(3)
    client = api.resources.feed._client
    entries = await client.xrange(FEED)
    await client.xdel(FEED, entries[1][0])

    resumed = await api.stream("/events", ids[1])

    assert (await resumed.frame())["event"] == "reset"
    await task.write("b")
    assert (await resumed.frame())["data"]["data"] == "b"
    assert await (await api.stream("/events", ids[2])).ids(1) != ids[2:]


async def test_a_feed_s_reader_that_stops_reading_misses_nothing(api: Api) -> None:
    task = await api.task()
    slow = await api.stream("/events?type=quick", receive_buffer=4096)
    count = await until_full(api, task)

    seen = [(await slow.frame())["data"]["id"] for _ in range(count)]

    assert seen == [f"1-{seq}" for seq in range(2, count + 2)]


@pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning")
async def test_what_was_accepted_is_told_so_even_if_its_end_cannot_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise StateUnavailable("Redis: away")

    monkeypatch.setattr("api.accept.find", away)
    async with (
        serving(embedded_app(Settings(data_dir=tmp_path))) as api,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{api.port}") as http,
    ):
        answer = await http.post(
            "/tasks/quick", json={"numbers": [1]}, headers={"Prefer": "wait=9"}
        )

        assert answer.status_code == 202
        assert (await http.get(answer.json()["links"]["result"])).status_code in (200, 202)
