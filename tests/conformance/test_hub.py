"""Live events: what each of any number of viewers gets, on Redis and on its double in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

import pytest
import uuid_utils
from stepline.contract import EventKind

from infra.envelope import TaskMessage
from infra.services.ports import free_port
from infra.state.hub import BACKLOG, EventHub, LiveEvent
from infra.state.redis import Connections, StateUnavailable
from infra.state.store import State, channel
from tests.conformance.test_state import QUEUE, claimed, end, event
from tests.waiting import wait_for


@pytest.fixture
async def hub(connections: Connections) -> AsyncIterator[EventHub]:
    hub = EventHub(connections)
    yield hub
    await hub.close()


async def subscribers(state: State, task: TaskMessage) -> int:
    """How many connections Redis has that listen to the task."""
    ((_, number),) = await state._client.pubsub_numsub(channel(task.id))
    return int(number)


async def test_a_watcher_misses_nothing_after_it_has_come(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    async with hub.watch(task.id) as one, hub.watch(task.id) as two:
        await claimed(state, task)
        await end(state, task)
        for watcher in (one, two):
            first, last = await watcher.next(), await watcher.next()
            assert first is not None
            assert last is not None
            assert (first.previous, first.id) == ((0, 1), (1, 1))
            assert (last.previous, last.id, last.terminal) == ((1, 1), (1, 2), True)
            assert b"id: 1-2\nevent: succeeded\ndata: {" in last.chunk


async def test_a_watcher_that_lags_is_told_to_read_again(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    async with hub.watch(task.id) as slow, hub.watch(task.id) as witness:
        for seq in range(2, BACKLOG + 20):
            await state.write(task.id, "token", events=[event(1, seq)])
            assert await asyncio.wait_for(witness.next(), 5) is not None

        seen = [await slow.next() for _ in range(BACKLOG + 1)]

    assert None not in seen[:-1]
    assert seen[-1] is None


async def test_viewers_are_sent_away_when_the_process_stops(
    hub: EventHub, task: TaskMessage
) -> None:
    async with hub.watch(task.id) as watcher:
        hub.end_all()
        assert await watcher.next() is None
        assert watcher.closed


async def test_viewers_of_one_task_share_a_subscription_that_ends_with_the_last(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    async with hub.watch(task.id):
        async with hub.watch(task.id):
            assert await subscribers(state, task) == 1
        assert await subscribers(state, task) == 1

    async def nobody() -> bool:
        return await subscribers(state, task) == 0

    await wait_for(nobody)


async def test_a_viewer_hears_of_its_own_task_alone(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    other = replace(task, id=str(uuid_utils.uuid7()))
    async with hub.watch(task.id) as watcher, hub.watch(other.id):
        await state.submit(QUEUE, other)
        await claimed(state, other)
        await state.submit(QUEUE, task)
        await claimed(state, task)

        live = await asyncio.wait_for(watcher.next(), 5)

    assert live is not None
    assert b"started" in live.chunk
    assert task.id.encode() in live.chunk


async def test_a_viewer_may_leave_and_come_back(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    for seq in range(2, 12):
        async with hub.watch(task.id) as watcher:
            await state.write(task.id, "token", events=[event(1, seq)])
            live = await asyncio.wait_for(watcher.next(), 5)
            assert live is not None
            assert (live.previous, live.id) == ((1, seq - 1), (1, seq))


async def test_nothing_is_kept_of_tasks_that_nobody_watches_any_more(hub: EventHub) -> None:
    for _ in range(20):
        async with hub.watch(str(uuid_utils.uuid7())):
            pass

    await wait_for(lambda: not hub._pubsub.channels)
    assert not hub._listeners
    assert not hub._confirmed


async def test_a_viewer_that_leaves_while_it_comes_takes_no_other_along(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await hub._sending.acquire()  # as while the request for another channel is on its way

    async def watch() -> LiveEvent | None:
        async with hub.watch(task.id) as watcher:
            return await watcher.next()

    first, second = asyncio.create_task(watch()), asyncio.create_task(watch())
    await asyncio.sleep(0)
    first.cancel()
    hub._sending.release()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(StateUnavailable):
        await asyncio.wait_for(second, 5)

    async with hub.watch(task.id) as third:  # and the next one finds nothing in its way
        await claimed(state, task)
        live = await asyncio.wait_for(third.next(), 5)
    assert live is not None


async def test_an_event_of_a_kind_that_only_a_newer_version_knows_goes_its_way(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    newer = replace(event(1, 2), kind=cast(EventKind, "step.dreamt"))
    async with hub.watch(task.id) as watcher:
        await state.write(task.id, "token", events=[newer])
        await end(state, task, seq=3)
        first, last = [await asyncio.wait_for(watcher.next(), 5) for _ in range(2)]

    assert first is not None
    assert last is not None
    assert not first.terminal
    assert b"event: step.dreamt\n" in first.chunk
    assert last.terminal


async def test_a_message_that_cannot_be_read_silences_no_other(
    hub: EventHub, state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    async with hub.watch(task.id) as watcher:
        await state._client.publish(channel(task.id), b"no event")
        assert await asyncio.wait_for(watcher.next(), 5) is None, "told to look for itself"
        await end(state, task)
        live = await asyncio.wait_for(watcher.next(), 5)

    assert live is not None
    assert live.terminal


async def test_without_redis_nobody_watches(task: TaskMessage) -> None:
    hub = EventHub(Connections(f"redis://127.0.0.1:{free_port()}/0"))
    for _ in range(2):
        with pytest.raises(StateUnavailable):
            async with hub.watch(task.id):
                pytest.fail("there is nothing to watch")
    await hub.close()


@pytest.mark.services
async def test_a_cut_connection_has_every_viewer_read_again_and_live_events_go_on(
    redis_url: str, task: TaskMessage
) -> None:
    connections = Connections(redis_url)
    hub, state = EventHub(connections), State(connections)
    await state.submit(QUEUE, task)
    await claimed(state, task)
    async with hub.watch(task.id) as one, hub.watch(task.id) as two:
        assert await state._client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") == 1

        for watcher in (one, two):
            assert await asyncio.wait_for(watcher.next(), 10) is None
        assert await subscribers(state, task) == 1, "told once events can be heard again"
        await end(state, task)

        for watcher in (one, two):
            live = await asyncio.wait_for(watcher.next(), 5)
            assert live is not None
            assert live.terminal
    await hub.close()
    await state.close()
