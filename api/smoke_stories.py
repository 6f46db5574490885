"""The README's examples that are more than one request and its answer.

They may run against a system in use: what they make they put away again, and bulk actions find
nothing to act upon.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stepline.client import Client
from stepline.contract import EventKind, Status

from api.smoke_examples import TRANSFORM_EXPORT


@dataclass(frozen=True, slots=True)
class Story:
    """`requests` are those of the README that it stands for; `tell` gives what went wrong."""

    name: str
    requests: tuple[str, ...]
    tell: Callable[[Client], Awaitable[str]]


async def _stream(client: Client) -> str:
    task = await client.submit("long", {"duration": 1})
    kinds = [event.kind async for event in task.events()]
    wanted = [EventKind.QUEUED, EventKind.STARTED, EventKind.STEP_PROGRESS, EventKind.SUCCEEDED]
    missing = [kind.value for kind in wanted if kind not in kinds]
    return f"no {', '.join(missing)}" if missing else ""


async def _own_stream(client: Client) -> str:
    answer = await client.request(
        "POST", "/chain/process", json=TRANSFORM_EXPORT, headers={"Accept": "text/event-stream"}
    )
    kinds = [
        line.removeprefix("event: ")
        for line in answer.text.splitlines()
        if line.startswith("event: ")
    ]
    steps = ["step.started", "step.completed"]
    wanted = ["queued", "started", *steps, *steps, "succeeded"]
    return "" if kinds == wanted else f"its events were {', '.join(kinds)}"


async def _deferred(client: Client) -> str:
    body = {"numbers": [1, 2], "delay": 3600, "expires_in": 7200}
    scheduled = (await client.request("POST", "/tasks/quick", json=body)).json()
    if scheduled["status"] != Status.SCHEDULED:
        return f"was {scheduled['status']} at once"
    task = client.task(scheduled["task_id"])
    await task.cancel("ordered twice")
    ended = await task.result()
    if ended.status is not Status.CANCELLED or ended.error is None:
        return f"was {ended.status} after it had been cancelled"
    return "" if ended.error.code == "cancelled" else f"its error was {ended.error.code}"


async def _retry(client: Client) -> str:
    first = (await client.request("POST", "/chain/process", json=TRANSFORM_EXPORT)).json()
    await client.task(first["task_id"]).finished()
    path = f"/tasks/{first['task_id']}/retry"
    again = (await client.request("POST", path, json={"from_step": "export"})).json()
    ended = await client.task(again["task_id"]).finished()
    if ended.status is not Status.SUCCESS:
        return f"ended as {ended.status}: {ended.error}"
    return "" if again["retry_of"] == first["task_id"] else "is not linked to the task before"


async def _many(client: Client) -> str:
    lines = [
        {"type": "quick", "payload": {"numbers": [1, 2]}},
        {"type": "quikc", "payload": {}},
    ]
    response = await client.request(
        "POST",
        "/tasks/bulk",
        content="\n".join(json.dumps(line) for line in lines),
        headers={"Content-Type": "application/x-ndjson"},
    )
    answer = response.json()
    if (response.status_code, answer["accepted"], answer["refused"]) != (207, 1, 1):
        return f"{response.status_code}: {answer}"
    return "" if await client.task(answer["items"][0]["task_id"]).wait() else "has no result"


async def _bulk(client: Client) -> str:
    nothing = {"type": "email", "since": "9998-01-01T00:00:00Z"}
    body = {"action": "replay", "filter": nothing}
    action = (await client.request("POST", "/bulk", json=body)).json()
    done = await client.bulk.wait(action["id"])
    return "" if (done.state, done.total) == ("done", 0) else f"was {done.state} of {done.total}"


STORIES = (
    Story("GET /tasks/{id}/events", ("GET /tasks/{id}/events",), _stream),
    Story(
        "POST /chain/process (answered by its own stream)", ("POST /chain/process",), _own_stream
    ),
    Story(
        "POST /tasks/quick (in an hour), POST /tasks/{id}/cancel",
        ("POST /tasks/quick", "POST /tasks/{id}/cancel"),
        _deferred,
    ),
    Story("POST /tasks/{id}/retry (from a step)", ("POST /tasks/{id}/retry",), _retry),
    Story("POST /tasks/bulk (two lines, one wrong)", ("POST /tasks/bulk",), _many),
    Story("POST /bulk, GET /bulk/{id} (of nothing)", ("POST /bulk", "GET /bulk/{id}"), _bulk),
)
