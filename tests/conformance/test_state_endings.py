"""The state: what ends without having been run, what waits for its time, what is taken over."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from stepline.contract import EventKind, Status

from infra.cancellation import Cancellation
from infra.codec import loads, now
from infra.envelope import TaskMessage
from infra.state.hub import EventHub
from infra.state.models import (
    CancelRequested,
    Closed,
    Early,
    Ended,
    Expired,
    Held,
    Missing,
    NewEvent,
    Yours,
)
from infra.state.redis import Connections
from infra.state.store import State, task_key

QUEUE = "quick_tasks"
CANCELLATION = Cancellation(by="ops", at="2026-01-01T00:00:00.000000Z", reason="twice")


async def cancel(state: State, task_id: str, takeover: str = "") -> Any:
    return await state.end(
        task_id,
        EventKind.CANCELLED,
        Status.CANCELLED,
        CANCELLATION.error(),
        flag=CANCELLATION.to_json(),
        takeover=takeover,
    )


async def claimed(state: State, task: TaskMessage, token: str = "token") -> Yours:
    claim = await state.claim(QUEUE, task, token=token, worker="worker@a:1")
    assert isinstance(claim, Yours), claim
    return claim


async def test_a_waiting_task_ends_where_it_stands(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)

    assert await cancel(state, task.id) == Closed((0, 2))

    found = await state.get(task.id)
    assert found is not None
    assert (found.status, found.last, found.result) == (Status.CANCELLED, (0, 2), None)
    assert found.error == CANCELLATION.error()
    assert found.finished_at is not None
    queued, cancelled = await state.events(task.id)
    assert (queued.kind, cancelled.kind, cancelled.terminal) == ("queued", "cancelled", True)
    assert loads(cancelled.json)["error"]["details"]["by"] == "ops"
    assert await state.claim(QUEUE, task, token="x", worker="w") == Ended(Status.CANCELLED)
    assert await cancel(state, task.id) == Ended(Status.CANCELLED)


async def test_it_waits_for_history_before_it_expires(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)  # and its publish was never confirmed

    await cancel(state, task.id)

    assert await state._client.ttl(task_key(task.id)) == -1


async def test_its_end_is_announced_to_whoever_watches(
    state: State, connections: Connections, task: TaskMessage
) -> None:
    hub = EventHub(connections)
    await state.submit(QUEUE, task)
    async with hub.watch(task.id) as watcher:
        await cancel(state, task.id)

        live = await watcher.next()

    assert live is not None
    assert (live.previous, live.id, live.terminal) == ((0, 1), (0, 2), True)
    await hub.close()


async def test_what_nobody_knows_cannot_be_cancelled(state: State, task: TaskMessage) -> None:
    assert await cancel(state, task.id) == Missing()


async def test_the_holder_of_a_running_task_is_told(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)

    assert await cancel(state, task.id) == Held("worker@a:1", "token", 1)

    found = await state.get(task.id)
    assert found is not None
    assert found.status is Status.RUNNING, "its holder ends it"
    assert await state.cancellation(task.id, "token") == CANCELLATION
    assert await state.cancellation(task.id, "another's") is None


async def test_the_first_cancellation_stands(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await cancel(state, task.id)
    second = replace(CANCELLATION, by="another")

    await state.end(
        task.id, EventKind.CANCELLED, Status.CANCELLED, second.error(), flag=second.to_json()
    )

    assert await state.cancellation(task.id, "token") == CANCELLATION


async def test_a_flag_outlives_the_holder_that_did_not_see_it(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await cancel(state, task.id)
    answer = await state.claim(QUEUE, task, token="next", worker="w", takeover="token")
    assert answer == CancelRequested(CANCELLATION)

    assert await cancel(state, task.id, takeover="token") == Closed((1, 2))

    assert await state.write(task.id, "token", events=[]) == "lost"


async def test_a_flag_holds_between_two_attempts(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await cancel(state, task.id)
    retry = NewEvent((1, 2), EventKind.RETRY_SCHEDULED, b"{}")
    await state.settle(task.id, "token", events=[retry], fields={"status": Status.RETRYING})

    answer = await state.claim(QUEUE, task, token="next", worker="w")

    assert answer == CancelRequested(CANCELLATION)


async def test_the_workers_hear_of_what_is_called_off(state: State, task: TaskMessage) -> None:
    assert await state.called_off() == []

    await state.call_off(task.id)
    assert await state.called_off() == [task.id]

    await state.obeyed(task.id)
    assert await state.called_off() == []


async def test_a_deferred_task_that_is_brought_forward_can_be_claimed_at_once(
    state: State, task: TaskMessage
) -> None:
    deferred = replace(task, run_at=time.time() + 100)
    await state.submit(QUEUE, deferred)
    at = now()

    await state.bring_forward(task.id, at)
    await state.bring_forward("nobody", at)

    found = await state.get(task.id)
    assert found is not None
    assert found.run_at == pytest.approx(at.timestamp(), abs=0.01)
    claim = await state.claim(QUEUE, deferred, token="x", worker="w")
    assert isinstance(claim, Yours)
    await state.bring_forward(task.id, at)  # too late: it runs
    found = await state.get(task.id)
    assert found is not None
    assert found.not_before == 0


async def test_a_deferred_task_is_early_until_its_time(state: State, task: TaskMessage) -> None:
    deferred = replace(task, run_at=round(time.time()) + 100.5)
    await state.submit(QUEUE, deferred)
    found = await state.get(task.id)
    assert found is not None
    assert (found.status, found.run_at) == (Status.SCHEDULED, deferred.run_at)

    early = await state.claim(QUEUE, deferred, token="x", worker="w")

    assert isinstance(early, Early)
    assert 98 < early.wait < 102


async def test_a_released_task_waits_for_a_worker(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, replace(task, run_at=time.time() + 100))

    await state.release(task.id)

    found = await state.get(task.id)
    assert found is not None
    assert found.status is Status.PENDING


async def test_release_leaves_alone_what_has_gone_on(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, replace(task, run_at=time.time() + 100))
    await cancel(state, task.id)

    await state.release(task.id)

    found = await state.get(task.id)
    assert found is not None
    assert found.status is Status.CANCELLED


async def test_what_is_too_late_to_start_is_not_started(state: State, task: TaskMessage) -> None:
    late = replace(task, deadline=time.time() - 1)
    await state.submit(QUEUE, late)

    answer = await state.claim(QUEUE, late, token="x", worker="w")

    assert isinstance(answer, Expired)
    assert abs(answer.deadline - late.deadline) < 0.001


async def test_what_was_started_in_time_is_taken_over_after_its_deadline(
    state: State, task: TaskMessage
) -> None:
    soon = replace(task, deadline=time.time() + 0.05)
    await state.submit(QUEUE, soon)
    await claimed(state, soon)
    while time.time() <= soon.deadline:
        time.sleep(0.01)

    answer = await state.claim(QUEUE, soon, token="next", worker="w", takeover="token")

    assert isinstance(answer, Yours)


async def test_a_retry_begins_with_the_checkpoints_that_it_takes_over(
    state: State, task: TaskMessage
) -> None:
    retry = replace(task, retry_of="an-earlier-one", from_step=1)
    await state.submit(QUEUE, retry, {"0:first": b'{"kept":1}'})

    claim = await claimed(state, retry)

    assert claim.outputs == {(0, "first"): b'{"kept":1}'}
    assert await state.steps(task.id) == claim.outputs
    found = await state.get(task.id)
    assert found is not None
    assert (found.retry_of, found.from_step) == ("an-earlier-one", 1)
