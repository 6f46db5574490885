"""The feed of all tasks: live, filtered, resumed, and honest about what it has forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.waiting import wait_for

QUICK = {"numbers": [1, 2, 3]}
KINDS = ["queued", "started", "step.started", "step.completed", "succeeded"]


class Frames:
    """The events of an open stream, one after the other."""

    def __init__(self, response: httpx2.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self, timeout: float = 10.0) -> dict[str, Any]:
        frame: dict[str, Any] = {}
        async with asyncio.timeout(timeout):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line and name:
                    frame[name] = value
                elif "event" in frame:
                    frame["data"] = json.loads(frame["data"])
                    return frame
        raise AssertionError("the stream has ended")

    async def of(self, task_id: str) -> list[dict[str, Any]]:
        """That task's events, to its end."""
        found = []
        while True:
            frame = await self.next()
            if frame["data"].get("task_id") == task_id:
                found.append(frame)
                if frame["event"] in ("succeeded", "failed", "cancelled"):
                    return found


@asynccontextmanager
async def feed(
    http: httpx2.AsyncClient, query: dict[str, str] | None = None, **headers: str
) -> AsyncIterator[Frames]:
    async with http.stream("GET", "/events", params=query, headers=headers) as response:
        assert response.status_code == 200
        frames = Frames(response)
        await anext(frames._lines)  # the hint for reconnecting: the stream is open
        yield frames


async def submit(http: httpx2.AsyncClient, path: str = "/tasks/quick", body: Any = None) -> str:
    answer = await http.post(path, json=body or QUICK, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


async def test_what_happens_to_any_task_is_told_in_order(http: httpx2.AsyncClient) -> None:
    async with feed(http) as frames:
        task_id = await submit(http)

        events = await frames.of(task_id)

    assert [event["event"] for event in events] == KINDS
    data = events[0]["data"]
    assert (data["type"], data["queue"], data["id"]) == ("quick", "quick_tasks", "0-1")
    assert [event["data"]["id"] for event in events] == ["0-1", "1-1", "1-2", "1-3", "1-4"]


async def test_a_reader_goes_on_after_the_event_it_saw_last(http: httpx2.AsyncClient) -> None:
    async with feed(http) as frames:
        first = await submit(http)
        seen = await frames.of(first)
    missed = await submit(http)

    resumed = {"Last-Event-ID": seen[2]["id"]}
    async with feed(http, **resumed) as frames:
        rest = await frames.of(first)
        assert [event["event"] for event in rest] == KINDS[3:]
        assert [event["event"] for event in await frames.of(missed)] == KINDS


async def test_filters_hold_for_type_queue_and_status(http: httpx2.AsyncClient) -> None:
    query = {"type": "quick", "queue": "quick_tasks", "status": "SUCCESS"}
    async with feed(http, query) as frames:
        await submit(http, "/tasks/long", {"duration": 1})
        task_ids = [await submit(http) for _ in range(3)]

        events = [await frames.next() for _ in task_ids]

    assert {event["event"] for event in events} == {"succeeded"}
    assert {event["data"]["task_id"] for event in events} == set(task_ids)


async def test_an_id_that_leads_nowhere_gets_the_newest_tasks(http: httpx2.AsyncClient) -> None:
    await submit(http)

    async def listed() -> bool:
        return bool((await http.get("/tasks/")).json()["tasks"])

    await wait_for(listed)  # a moment after its end
    for nowhere in ("nonsense", "1-1:0", "99999999999999-0:0"):
        async with feed(http, **{"Last-Event-ID": nowhere}) as frames:
            reset = await frames.next()
            assert reset["event"] == "reset"
            assert reset["data"]["tasks"]
            task_id = await submit(http)
            assert [event["event"] for event in await frames.of(task_id)] == KINDS


async def test_all_that_is_kept_is_to_be_had(http: httpx2.AsyncClient) -> None:
    task_id = await submit(http)

    async with feed(http, {"after": "0"}) as frames:
        assert [event["event"] for event in await frames.of(task_id)] == KINDS


async def test_an_unknown_status_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/events", params={"status": "DONE"})

    assert answer.status_code == 422
