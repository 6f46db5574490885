"""Dead letters over HTTP: seen, replayed as new tasks, discarded; one by one and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from stepline.authoring import Context, handler
from stepline.contract import Status

from api.app import create_app
from infra.broker.base import Message
from infra.resources import Resources
from tests.stack import EngineStack, a_type
from tests.waiting import wait_for
from workers.upkeep import running_upkeep

StackOf = Callable[..., Any]

weather = {"bad": True}
"""While it is bad, the handler fails."""


@handler
async def fragile(ctx: Context) -> str:
    if weather["bad"]:
        raise RuntimeError("not today")
    return "at last"


@pytest.fixture
async def stack(stack_of: StackOf) -> EngineStack:
    weather["bad"] = True
    stack: EngineStack = await stack_of(a_type("fragile", fragile))
    await stack.worker()
    return stack


@pytest.fixture
async def http(stack: EngineStack) -> AsyncIterator[httpx2.AsyncClient]:
    """The API over the same resources, and the upkeep that cron would do."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Resources]:
        yield stack.resources

    app = create_app(stack.settings, stack.registry, opening())
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        running_upkeep(stack.resources, stack.registry),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


async def dead(stack: EngineStack, count: int = 1) -> list[str]:
    """Tasks that have used up their retries, each with a letter."""
    task_ids = [await stack.submit("fragile", n=n) for n in range(count)]
    for task_id in task_ids:
        assert (await stack.recorded(task_id)).status is Status.FAILURE

    async def letters() -> bool:
        return len(await stack.resources.history.dead_letters()) == count

    await wait_for(letters)
    return task_ids


async def letters_of(http: httpx2.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await http.get("/dead-letters", params=query)
    assert answer.status_code == 200, answer.text
    letters: list[dict[str, Any]] = answer.json()["dead_letters"]
    return letters


async def test_a_dead_letter_says_why_and_what_it_was(
    stack: EngineStack, http: httpx2.AsyncClient
) -> None:
    (task_id,) = await dead(stack)

    (letter,) = await letters_of(http)

    assert (letter["task_id"], letter["task_type"], letter["queue"], letter["reason"]) == (
        task_id,
        "fragile",
        "quick_tasks",
        "handler_error",
    )
    assert letter["error"]["message"] == "RuntimeError: not today"
    whole = (await http.get(f"/dead-letters/{letter['id']}")).json()
    assert whole["message"]["tasks"][0]["payload"] == {"n": 0}


async def test_a_replay_is_a_new_task_and_happens_once(
    stack: EngineStack, http: httpx2.AsyncClient
) -> None:
    (task_id,) = await dead(stack)
    weather["bad"] = False
    (letter,) = await letters_of(http)
    path = f"/dead-letters/{letter['id']}/replay"

    answers = await asyncio.gather(*(http.post(path) for _ in range(4)))

    accepted = [answer.json() for answer in answers if answer.status_code in (200, 202)]
    assert len({answer["task_id"] for answer in accepted}) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    replayed = accepted[0]["task_id"]
    assert accepted[0]["retry_of"] == task_id
    assert (await stack.ended(replayed)).result == "at last"
    assert await letters_of(http) == []
    (seen_to,) = await letters_of(http, resolved=True)
    assert (seen_to["resolution"], seen_to["replayed_as"]) == ("replayed", replayed)
    assert (await http.post(path)).json()["type"] == "/problems/already_resolved"


async def test_a_discarded_letter_is_kept_as_such(
    stack: EngineStack, http: httpx2.AsyncClient
) -> None:
    await dead(stack)
    (letter,) = await letters_of(http)

    discarded = (await http.post(f"/dead-letters/{letter['id']}/discard")).json()

    assert (discarded["resolution"], discarded["resolved_by"]) == ("discarded", "anonymous")
    assert await letters_of(http) == []


async def test_many_are_replayed_by_filter(stack: EngineStack, http: httpx2.AsyncClient) -> None:
    task_ids = await dead(stack, 5)
    weather["bad"] = False

    body = {"action": "replay", "filter": {"type": "fragile"}}
    action = (await http.post("/bulk", json=body)).json()

    async def through() -> dict[str, Any] | None:
        seen: dict[str, Any] = (await http.get(action["links"]["self"])).json()
        return seen if seen["state"] == "done" else None

    assert action["total"] == 5
    done = await wait_for(through)
    assert done is not None
    assert (done["done"], done["failed"], done["skipped"]) == (5, 0, 0)
    resolved = await letters_of(http, resolved=True)
    assert {letter["task_id"] for letter in resolved} == set(task_ids)
    for letter in resolved:
        assert (await stack.ended(letter["replayed_as"])).status is Status.SUCCESS


async def test_what_cannot_be_read_can_only_be_discarded(
    stack: EngineStack, http: httpx2.AsyncClient
) -> None:
    poison = Message("envelope", b"\xff{ no json")
    await stack.resources.broker.send("quick_tasks", poison)
    (letter,) = await wait_for(lambda: letters_of(http))
    assert letter["reason"] == "undecodable"

    replay = await http.post(f"/dead-letters/{letter['id']}/replay")

    assert (replay.status_code, replay.json()["type"]) == (409, "/problems/not_replayable")
    assert (await http.post(f"/dead-letters/{letter['id']}/discard")).status_code == 200


async def test_pages_hold_together(stack: EngineStack, http: httpx2.AsyncClient) -> None:
    task_ids = await dead(stack, 5)

    first = (await http.get("/dead-letters", params={"limit": 3})).json()
    second = (await http.get("/dead-letters", params={"limit": 3, "cursor": first["next"]})).json()

    seen = [letter["task_id"] for page in (first, second) for letter in page["dead_letters"]]
    assert sorted(seen) == sorted(task_ids)
    assert (first["total"], second["next"]) == (5, None)


async def test_an_unknown_letter_is_404(http: httpx2.AsyncClient) -> None:
    for path in ("/dead-letters/nothing/replay", "/dead-letters/nothing/discard"):
        assert (await http.post(path)).status_code == 404
    assert (await http.get("/dead-letters/nothing")).status_code == 404
