"""Live events: what each of any number of viewers gets, on Redis and on its double in memory."""

from __future__ import annotations

import asyncio

from infra.envelope import TaskMessage
from infra.state.hub import BACKLOG, EventHub
from infra.state.redis import Connections
from infra.state.store import State
from tests.conformance.test_state import QUEUE, claimed, end, event


async def test_a_watcher_misses_nothing_after_it_has_come(
    connections: Connections, state: State, task: TaskMessage
) -> None:
    hub = EventHub(connections)
    await state.submit(QUEUE, task)
    async with hub.watch(task.id) as one, hub.watch(task.id) as two:
        await claimed(state, task)
        await end(state, task)
        for watcher in (one, two):
            first, last = await watcher.next(), await watcher.next()
            assert first is not None
            assert last is not None
            assert (first.previous, first.event.id) == ((0, 1), (1, 1))
            assert (last.previous, last.event.id, last.event.terminal) == ((1, 1), (1, 2), True)
            assert last.frame == last.event.frame()
    await hub.close()


async def test_a_watcher_that_lags_is_told_to_read_again(
    connections: Connections, state: State, task: TaskMessage
) -> None:
    hub = EventHub(connections)
    await state.submit(QUEUE, task)
    await claimed(state, task)
    async with hub.watch(task.id) as slow, hub.watch(task.id) as witness:
        for seq in range(2, BACKLOG + 20):
            await state.write(task.id, "token", events=[event(1, seq)])
            assert await asyncio.wait_for(witness.next(), 5) is not None

        seen = [await slow.next() for _ in range(BACKLOG + 1)]

    assert None not in seen[:-1]
    assert seen[-1] is None
    await hub.close()


async def test_viewers_are_sent_away_when_the_process_stops(
    connections: Connections, task: TaskMessage
) -> None:
    hub = EventHub(connections)
    async with hub.watch(task.id) as watcher:
        hub.end_all()
        assert await watcher.next() is None
        assert watcher.closed
    await hub.close()
