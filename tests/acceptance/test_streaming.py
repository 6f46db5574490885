"""A task's life as Server-Sent Events: replay, live, resume, end."""

from __future__ import annotations

import asyncio
import json

import httpx2
from stepline.client import Client
from stepline.contract import EventKind

from tests.waiting import PATIENCE

CHAIN = {
    "request_type": "data_transformation",
    "chain_type": "transform_export",
    "data": {"payload": {"a": "b"}, "transformations": {"a": "uppercase"}},
}
WHOLE = [
    ("0-1", "queued"),
    ("1-1", "started"),
    ("1-2", "step.started"),
    ("1-3", "step.completed"),
    ("1-4", "step.started"),
    ("1-5", "step.completed"),
    ("1-6", "succeeded"),
]


async def frames(response: httpx2.Response) -> list[dict[str, str]]:
    """The fields of each event, to the stream's end."""
    found: list[dict[str, str]] = []
    frame: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            frame[name] = value
        else:
            if "event" in frame:
                found.append(frame)
            frame = {}
    return found


async def read(http: httpx2.AsyncClient, task_id: str, **headers: str) -> list[tuple[str, str]]:
    async with http.stream("GET", f"/tasks/{task_id}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [(frame["id"], frame["event"]) for frame in await frames(response)]


async def test_an_ended_task_is_replayed_whole(client: Client, http: httpx2.AsyncClient) -> None:
    task = await client.submit("chain", CHAIN)
    await task.wait(timeout=PATIENCE)

    assert await read(http, task.id) == WHOLE


async def test_data_carries_what_the_contract_says(
    client: Client, http: httpx2.AsyncClient
) -> None:
    task = await client.submit("chain", CHAIN)
    await task.wait(timeout=PATIENCE)

    async with http.stream("GET", f"/tasks/{task.id}/events") as response:
        data = [json.loads(frame["data"]) for frame in await frames(response)]

    assert {item["task_id"] for item in data} == {task.id}
    assert [item["kind"] for item in data] == [kind for _, kind in WHOLE]
    assert (data[2]["handler"], data[2]["index"], data[2]["total"]) == ("transformation", 0, 2)
    assert all(item["at"].endswith("Z") for item in data)


async def test_a_reconnect_goes_on_after_the_last_event(
    client: Client, http: httpx2.AsyncClient
) -> None:
    task = await client.submit("chain", CHAIN)
    await task.wait(timeout=PATIENCE)

    assert await read(http, task.id, **{"Last-Event-ID": "1-3"}) == WHOLE[4:]
    after = await http.get(f"/tasks/{task.id}/events", params={"after": "1-5"})
    assert "event: succeeded" in after.text


async def test_after_the_terminal_event_there_is_nothing(
    client: Client, http: httpx2.AsyncClient
) -> None:
    task = await client.submit("chain", CHAIN)
    await task.wait(timeout=PATIENCE)

    answer = await http.get(f"/tasks/{task.id}/events", headers={"Last-Event-ID": "1-6"})

    assert (answer.status_code, answer.content) == (204, b"")


async def test_an_impossible_id_gets_a_snapshot(client: Client, http: httpx2.AsyncClient) -> None:
    task = await client.submit("chain", CHAIN)
    await task.wait(timeout=PATIENCE)

    for impossible in ("9-9", "rubbish"):
        async with http.stream(
            "GET", f"/tasks/{task.id}/events", headers={"Last-Event-ID": impossible}
        ) as response:
            (frame,) = await frames(response)
        assert (frame["event"], frame["id"]) == ("reset", "1-6")
        assert json.loads(frame["data"])["status"] == "SUCCESS"


async def test_events_are_live_and_without_a_gap(client: Client) -> None:
    task = await client.submit("long", {"duration": 2})

    first = [event async for event in task.events()]
    second = [event async for event in client.task(task.id).events()]

    assert [event.kind for event in first] == [event.kind for event in second]
    assert first[-1].kind is EventKind.SUCCEEDED
    assert [event.current for event in first if event.kind is EventKind.STEP_PROGRESS] == [1, 2]


async def test_a_hundred_viewers_see_the_same(client: Client, http: httpx2.AsyncClient) -> None:
    task = await client.submit("long", {"duration": 1})

    seen = await asyncio.gather(*(read(http, task.id) for _ in range(100)))

    assert all(view == seen[0] for view in seen)
    assert seen[0][-1][1] == "succeeded"


async def test_a_submission_can_answer_with_its_own_stream(http: httpx2.AsyncClient) -> None:
    async with http.stream(
        "POST", "/chain/process", json=CHAIN, headers={"Accept": "text/event-stream"}
    ) as response:
        seen = [(frame["id"], frame["event"]) for frame in await frames(response)]
        location = response.headers["location"]

    assert seen == WHOLE
    assert (await http.get(location)).json()["status"] == "SUCCESS"


async def test_a_stream_of_nothing_is_404_not_an_empty_stream(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/tasks/nope/events")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
