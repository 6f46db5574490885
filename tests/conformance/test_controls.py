"""Orders: given once, told once, held until they are taken back; on Redis and on its double."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stepline.contract import ServiceEventKind

from infra.codec import loads
from infra.state.controls import Controls, Order
from infra.state.feed import Feed
from infra.state.redis import Connections
from infra.state.store import State

ADA = Order("ada", "2026-11-25T10:00:00.000000Z", "the mail provider is down")
BOB = Order("bob", "2026-11-25T11:00:00.000000Z")


@pytest.fixture
def controls(state: State) -> Controls:
    return Controls(state)


@pytest.fixture
async def feed(connections: Connections) -> AsyncIterator[Feed]:
    feed = Feed(connections)
    yield feed
    await feed.close()


async def test_the_first_order_holds_until_it_is_taken_back(controls: Controls) -> None:
    await controls.pause("email_tasks", ADA)
    await controls.pause("email_tasks", BOB)
    await controls.drain("w1", BOB)

    standing = await controls.standing()
    assert (standing.paused, standing.draining) == ({"email_tasks": ADA}, {"w1": BOB})
    assert not standing.lets_take("w2", "email_tasks")
    assert not standing.lets_take("w1", "quick_tasks")
    assert standing.lets_take("w2", "quick_tasks")

    await controls.resume("email_tasks", BOB)
    await controls.undrain("w1", BOB)
    standing = await controls.standing()
    assert (standing.paused, standing.draining) == ({}, {})


async def test_each_change_is_told_once_in_the_feed(controls: Controls, feed: Feed) -> None:
    for _ in range(2):
        await controls.pause("email_tasks", ADA)
    for _ in range(2):
        await controls.resume("email_tasks", BOB)
    await controls.drain("w1", ADA)
    await controls.undrain("w1", BOB)

    events = await feed.after((0, 0, 0))

    assert [event.kind for event in events] == list(ServiceEventKind)
    assert [event.queue for event in events] == ["email_tasks", "email_tasks", "", ""]
    assert {event.status for event in events} == {None}
    data = loads(events[0].frame.split(b"data: ")[1])
    assert data == {
        "kind": "queue.paused",
        "queue": "email_tasks",
        "by": "ada",
        "at": ADA.at,
        "reason": ADA.reason,
    }


async def test_a_worker_that_has_ended_is_forgotten(controls: Controls) -> None:
    await controls.drain("w1", ADA)

    await controls.forget("w1")

    assert (await controls.standing()).draining == {}


async def test_where_redis_ends_with_the_process_a_file_keeps_the_pauses(tmp_path: Path) -> None:
    memory = tmp_path / "data" / "paused.json"
    before, after = State(Connections("fake://")), State(Connections("fake://"))
    controls = Controls(before, memory)
    await controls.pause("email_tasks", ADA)
    await controls.pause("quick_tasks", BOB)
    await controls.resume("quick_tasks", BOB)
    await before.close()

    again = Controls(after, memory)
    await again.remember()

    assert (await again.standing()).paused == {"email_tasks": ADA}
    await after.close()
