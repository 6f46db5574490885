"""The state: the same scripts on Redis and on its double in memory.

`token` is the holder's unless a test says otherwise; its first attempt's events are 1-1, 1-2, …
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError
from stepline.contract import EventKind, Status

from infra.codec import dumps, loads, now
from infra.envelope import TaskMessage
from infra.services.redis import Redis
from infra.state.idempotency import IdempotencyKeys
from infra.state.liveness import DEAD_AFTER, FORGET_AFTER, Heartbeat, Workers, worker_key
from infra.state.models import Early, Ended, Held, Missing, NewEvent, Yours
from infra.state.redis import Connections, StateUnavailable
from infra.state.store import (
    UNCONFIRMED,
    UNCONFIRMED_FOR,
    State,
    events_key,
    steps_key,
    task_key,
)
from tests.waiting import wait_for

QUEUE = "quick_tasks"


def event(attempt: int, seq: int, kind: EventKind = EventKind.LOG, **data: Any) -> NewEvent:
    return NewEvent((attempt, seq), kind, dumps({"kind": kind, **data}))


async def claimed(state: State, task: TaskMessage, token: str = "token") -> Yours:
    claim = await state.claim(QUEUE, task, token=token, worker="worker@a:1")
    assert isinstance(claim, Yours), claim
    return claim


async def end(state: State, task: TaskMessage, token: str = "token", seq: int = 2) -> str:
    return await state.settle(
        task.id,
        token,
        events=[event(1, seq, EventKind.SUCCEEDED)],
        fields={"status": Status.SUCCESS, "result": b'"done"'},
    )


async def test_calls_that_meet_have_each_its_own_answer(state: State, task: TaskMessage) -> None:
    tasks = [replace(task, id=f"{task.id[:-3]}{number:03}") for number in range(150)]
    await state.scripts.command("SET", events_key(tasks[70].id), "no stream")
    await state.submit(QUEUE, tasks[3])

    answers = await asyncio.gather(
        *(state.submit(QUEUE, item) for item in tasks), return_exceptions=True
    )

    assert isinstance(answers[70], ResponseError)
    assert "WRONGTYPE" in str(answers[70])
    assert [number for number, answer in enumerate(answers) if answer is False] == [3]
    assert sum(answer is True for answer in answers) == 148


async def test_several_are_created_in_one_round_trip(
    state: State, task: TaskMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.submit_all(QUEUE, [task])  # Redis knows the script now
    trips: list[int] = []
    run = state.scripts._pipeline.run

    async def spy(commands: Any) -> list[Any]:
        trips.append(len(commands))
        return await run(commands)

    monkeypatch.setattr(state.scripts._pipeline, "run", spy)
    others = [replace(task, id=f"{task.id[:-3]}{number:03}") for number in range(40)]
    await state.submit_all(QUEUE, others)

    assert trips == [2]  # they are noted as unconfirmed, and made
    for other in others:
        assert await state.get(other.id) is not None


async def test_a_task_is_created_once(state: State, task: TaskMessage) -> None:
    assert await state.submit(QUEUE, task) is True
    assert await state.submit(QUEUE, replace(task, name="another")) is False

    found = await state.get(task.id)
    assert found is not None
    assert (found.status, found.name, found.queue) == (Status.PENDING, "a pair", QUEUE)
    assert found.handlers == ["first", "second"]
    assert [item.kind for item in await state.events(task.id)] == ["queued"]


async def unconfirmed_for(state: State, task: TaskMessage, seconds: float) -> None:
    """As if it had been submitted so long ago."""
    await state._client.zincrby(UNCONFIRMED, -seconds, task.id)


async def test_what_was_never_confirmed_is_forgotten_after_its_time(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task, {"0:first": b"1"})
    await unconfirmed_for(state, task, UNCONFIRMED_FOR - 60)
    assert await state.forget_unconfirmed() == 0
    assert await state.get(task.id) is not None

    await unconfirmed_for(state, task, 120)

    assert await state.forget_unconfirmed() == 1
    keys = [task_key(task.id), events_key(task.id), steps_key(task.id), UNCONFIRMED]
    assert await state._client.exists(*keys) == 0


async def test_what_was_confirmed_stays(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await unconfirmed_for(state, task, UNCONFIRMED_FOR + 60)

    await state.confirm(task.id)

    assert await state.forget_unconfirmed() == 0
    assert await state.get(task.id) is not None
    assert await state._client.ttl(task_key(task.id)) == -1


async def test_what_was_taken_stays_whether_it_was_confirmed_or_not(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await unconfirmed_for(state, task, UNCONFIRMED_FOR + 60)

    assert await state.forget_unconfirmed() == 1  # looked at, and off the list
    assert await state.forget_unconfirmed() == 0
    found = await state.get(task.id)
    assert found is not None
    assert found.status is Status.RUNNING


async def test_many_at_once_are_confirmed_together(state: State, task: TaskMessage) -> None:
    tasks = [replace(task, id=f"many-{number}") for number in range(70)]
    await state.submit_all(QUEUE, tasks)
    assert await state._client.zcard(UNCONFIRMED) == 70

    await state.confirm(*(item.id for item in tasks))

    assert await state._client.exists(UNCONFIRMED) == 0


async def test_a_late_confirm_does_not_revive_what_is_to_expire(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await end(state, task)
    await state.expire([task.id], 100)

    await state.confirm(task.id)

    assert 0 < await state._client.ttl(task_key(task.id)) <= 100


async def test_a_claim_gives_a_first_attempt(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)

    claim = await claimed(state, task)

    assert (claim.attempt, claim.failures, claim.losses, claim.taken_over) == (1, 0, 0, False)
    found = await state.get(task.id)
    assert found is not None
    assert (found.status, found.holder, found.attempt) == (Status.RUNNING, "worker@a:1", 1)
    assert [item.id for item in await state.events(task.id)] == [(0, 1), (1, 1)]


async def test_a_claim_that_is_sent_twice_is_one_claim(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)

    first, again = await claimed(state, task), await claimed(state, task)

    assert first.attempt == again.attempt == 1
    assert len(await state.events(task.id)) == 2


async def test_a_held_task_says_by_whom(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)

    other = await state.claim(QUEUE, task, token="other", worker="worker@b:2")

    assert other == Held("worker@a:1", "token", 1)


async def test_of_many_claims_at_once_one_holds(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)

    claims = await asyncio.gather(
        *(state.claim(QUEUE, task, token=f"t{n}", worker=f"w{n}") for n in range(200))
    )

    assert sum(isinstance(claim, Yours) for claim in claims) == 1
    assert sum(isinstance(claim, Held) for claim in claims) == 199


async def test_a_dead_holder_is_replaced_only_by_who_knows_its_token(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task, "dead")
    await state.write(task.id, "dead", steps={"0:first": b'{"one":1}', "save:1": b"[7]"})

    wrong = await state.claim(QUEUE, task, token="new", worker="w", takeover="something else")
    right = await state.claim(QUEUE, task, token="new", worker="w", takeover="dead")

    assert isinstance(wrong, Held)
    assert isinstance(right, Yours)
    assert (right.attempt, right.losses, right.taken_over) == (2, 1, True)
    assert (right.outputs, right.saved) == ({(0, "first"): b'{"one":1}'}, {1: b"[7]"})
    assert await state.write(task.id, "dead", events=[event(1, 2)]) == "lost"
    assert await end(state, task, "dead") == "lost"


async def test_a_forgotten_task_is_missing_until_it_is_made_again(
    state: State, task: TaskMessage
) -> None:
    assert isinstance(await state.claim(QUEUE, task, token="t", worker="w"), Missing)

    known = replace(task, attempt=4, failures=2)
    claim = await state.claim(QUEUE, known, token="t", worker="w", create=True)

    assert isinstance(claim, Yours)
    assert (claim.attempt, claim.failures) == (5, 2)


async def test_writes_are_numbered_and_a_resend_changes_nothing(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    events = [event(1, 2, text="a"), event(1, 3, text="b")]

    for _ in range(2):
        assert await state.write(task.id, "token", events=events, fields={"step": 1}) == "ok"

    kept = await state.events(task.id)
    assert [item.id for item in kept] == [(0, 1), (1, 1), (1, 2), (1, 3)]
    assert [loads(item.json).get("text") for item in kept[2:]] == ["a", "b"]
    assert [item.id for item in await state.events(task.id, (1, 2))] == [(1, 3)]
    found = await state.get(task.id)
    assert found is not None
    assert (found.step, found.last) == (1, (1, 3))


async def test_old_progress_can_be_dropped(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    progress = [event(1, seq, EventKind.STEP_PROGRESS) for seq in (2, 3, 4)]
    await state.write(task.id, "token", events=progress[:2])

    await state.write(task.id, "token", events=progress[2:], drop=[(1, 2)])

    assert [item.id for item in await state.events(task.id)] == [(0, 1), (1, 1), (1, 3), (1, 4)]


async def test_events_of_one_write_keep_their_own_ids_and_kinds(
    state: State, task: TaskMessage
) -> None:
    kinds = [
        EventKind.STEP_STARTED,
        EventKind.STEP_OUTPUT,
        EventKind.STEP_OUTPUT,
        EventKind.STEP_PROGRESS,
        EventKind.STEP_OUTPUT,
        EventKind.STEP_COMPLETED,
    ]
    await state.submit(QUEUE, task)
    await claimed(state, task)
    events = [event(1, seq, kind, n=seq) for seq, kind in enumerate(kinds, start=2)]
    for _ in range(2):  # a resend writes nothing more
        assert await state.write(task.id, "token", events=events) == "ok"
    await end(state, task, seq=8)

    kept = await state.events(task.id)
    assert [(item.id, item.kind) for item in kept[2:]] == [
        *((item.id, item.kind) for item in events),
        ((1, 8), "succeeded"),
    ]
    assert [item.json for item in kept[2:8]] == [item.json for item in events]
    for after in range(2, 8):  # from the middle of an entry, too
        later = await state.events(task.id, (1, after))
        assert [item.id for item in later] == [(1, seq) for seq in range(after + 1, 9)]
        page = await state.events_from(task.id, (1, after), limit=2)
        assert [item.id for item in page] == [(1, n) for n in range(after, min(after + 3, 9))]


async def test_an_entry_of_a_version_that_wrote_each_event_by_itself_is_read(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    old = {"k": "started", "d": b'{"kind": "started"}'}
    await state._client.xadd(events_key(task.id), old, id="1-1")

    (_, started) = await state.events(task.id)

    assert (started.id, started.kind, started.json) == ((1, 1), "started", old["d"])


async def test_the_last_output_is_kept_with_the_task(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await state.write(task.id, "token", steps={"0:first": b"1"})
    fields = {"status": Status.SUCCESS, "result": b"2"}
    last = [event(1, 2, EventKind.SUCCEEDED)]
    await state.settle(task.id, "token", events=last, fields=fields, steps={"1:second": b"2"})

    assert await state.steps(task.id) == {(0, "first"): b"1", (1, "second"): b"2"}


async def test_the_end_is_one_write_and_the_first_one_wins(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)

    assert await end(state, task) == "ok"
    assert await end(state, task) == "ok", "its own resend"

    found = await state.get(task.id)
    assert found is not None
    assert (found.status, found.result, found.holder) == (Status.SUCCESS, "done", None)
    assert (await state.events(task.id))[-1].terminal
    assert await state.claim(QUEUE, task, token="x", worker="w") == Ended(Status.SUCCESS)
    assert await state.write(task.id, "token", events=[event(1, 9)]) == "lost"


async def test_a_task_that_waits_for_its_retry_is_early_and_then_due(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    due = time.time() + 0.3
    fields = {"status": Status.RETRYING, "failures": 1, "not_before": due * 1000}
    retry = event(1, 2, EventKind.RETRY_SCHEDULED)
    await state.settle(task.id, "token", events=[retry], fields=fields)

    early = await state.claim(QUEUE, task, token="next", worker="w")
    assert isinstance(early, Early)
    assert 0 < early.wait <= 0.3

    async def claim() -> Yours | None:
        answer = await state.claim(QUEUE, task, token="next", worker="w")
        return answer if isinstance(answer, Yours) else None

    claim_when_due = await wait_for(claim)
    assert claim_when_due is not None
    assert (claim_when_due.attempt, claim_when_due.failures) == (2, 1)


async def test_a_living_holder_puts_back_what_a_flush_took(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    claim = await claimed(state, task)
    await state._client.flushdb()
    assert await state.write(task.id, "token", events=[event(1, 2)]) == "missing"

    steps = {"0:first": b"1"}
    put_back = {"steps": steps, "events": [event(0, 1, EventKind.QUEUED), event(1, 1)]}
    assert await state.restore(QUEUE, task, claim, "worker@a:1", **put_back) == "ok"
    usurper = replace(claim, token="usurper")
    assert await state.restore(QUEUE, task, usurper, "worker@b:2", **put_back) == "lost"

    assert await state.write(task.id, "token", events=[event(1, 2)]) == "ok"
    assert await state._client.hget(steps_key(task.id), "0:first") == b"1"
    assert [item.id for item in await state.events(task.id)] == [(0, 1), (1, 1), (1, 2)]


async def test_the_later_attempt_takes_back_what_an_earlier_one_has_put_back(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    old = await claimed(state, task)
    new = await state.claim(QUEUE, task, token="new", worker="worker@b:2", takeover="token")
    assert isinstance(new, Yours)
    await state._client.flushdb()
    nothing: dict[str, Any] = {"steps": {}, "events": []}
    assert await state.restore(QUEUE, task, old, "worker@a:1", **nothing) == "ok"

    assert await state.restore(QUEUE, task, new, "worker@b:2", **nothing) == "ok"

    assert await state.write(task.id, "token", events=[event(1, 2)]) == "lost"
    assert await state.write(task.id, "new", events=[event(2, 2)]) == "ok"
    assert await state.restore(QUEUE, task, old, "worker@a:1", **nothing) == "lost"


async def test_one_caller_s_writes_keep_their_order_in_a_shared_round_trip(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)

    answers = await asyncio.gather(
        *(state.write(task.id, "token", events=[event(1, seq)]) for seq in range(2, 302))
    )

    assert set(answers) == {"ok"}
    ids = [item.id for item in await state.events(task.id)]
    assert ids == [(0, 1), (1, 1), *((1, seq) for seq in range(2, 302))]


async def test_what_the_envelope_knows_is_the_least_that_a_claim_gives(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)

    claim = await claimed(state, replace(task, attempt=6, failures=3))

    assert (claim.attempt, claim.failures) == (7, 3)


async def test_only_the_holder_writes(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)

    stranger = await state.write(
        task.id, "another's", events=[event(1, 2)], steps={"0:first": b"1"}
    )

    assert stranger == "lost"
    assert await end(state, task, "another's") == "lost"
    found = await state.get(task.id)
    assert found is not None
    assert (found.status, found.last) == (Status.RUNNING, (1, 1))
    assert await state._client.exists(steps_key(task.id)) == 0


async def test_whoever_sees_the_end_can_read_the_result(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)

    async def look() -> tuple[Status, Any] | None:
        kept = await state.events(task.id)
        if not kept[-1].terminal:
            return None
        found = await state.get(task.id)
        assert found is not None
        return found.status, found.result

    looking = asyncio.create_task(wait_for(look))
    await end(state, task)

    assert await looking == (Status.SUCCESS, "done")


async def test_the_end_of_a_flushed_task_is_not_pretended(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await state._client.flushdb()

    assert await end(state, task) == "missing"
    assert await state.get(task.id) is None


async def test_an_end_says_nothing_of_an_earlier_attempt_s_error(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    fields = {"status": Status.RETRYING, "failures": 1, "error": b'{"code":"x","message":"m"}'}
    retry = event(1, 2, EventKind.RETRY_SCHEDULED)
    await state.settle(task.id, "token", events=[retry], fields=fields)
    waiting = await state.get(task.id)
    assert waiting is not None
    assert waiting.error == {"code": "x", "message": "m"}

    await claimed(state, task, "second")
    await state.settle(
        task.id,
        "second",
        events=[event(2, 2, EventKind.SUCCEEDED)],
        fields={"status": Status.SUCCESS, "result": b"1"},
    )

    ended = await state.get(task.id)
    assert ended is not None
    assert (ended.status, ended.error) == (Status.SUCCESS, None)


async def test_the_last_step_s_checkpoint_comes_with_the_end_of_an_attempt(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await state.settle(
        task.id,
        "token",
        events=[event(1, 2, EventKind.RETRY_SCHEDULED)],
        fields={"status": Status.RETRYING},
        steps={"0:first": b"[1]", "save:1": b"[2]"},
    )

    again = await claimed(state, task, "next")

    assert (again.outputs, again.saved) == ({(0, "first"): b"[1]"}, {1: b"[2]"})


async def test_what_has_ended_goes_after_its_time(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await state.write(task.id, "token", steps={"0:first": b"1"})
    await end(state, task)

    await state.expire([task.id, "unknown"], 100)

    for key in (task_key(task.id), events_key(task.id), steps_key(task.id)):
        assert 0 < await state._client.ttl(key) <= 100


async def test_the_first_calls_of_a_process_may_come_at_once(
    connections: Connections, task: TaskMessage
) -> None:
    fresh = State(connections)

    async def claim_after(turns: int) -> object:
        for _ in range(turns):
            await asyncio.sleep(0)  # the loop's next turn: callers come one by one
        return await fresh.claim(QUEUE, task, token="t", worker="w")

    claims = await asyncio.gather(*(claim_after(turns) for turns in range(60)))

    assert claims == [Missing()] * 60
    await fresh.close()


async def test_a_redis_that_forgot_the_scripts_gets_them_again_and_order_holds(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)
    await state._client.script_flush()

    answer, found = await asyncio.gather(
        state.write(task.id, "token", fields={"step": 7}), state.get(task.id)
    )

    assert answer == "ok"
    assert found is not None
    assert found.step == 7


async def test_a_text_that_cannot_be_sent_harms_nobody_else(
    state: State, task: TaskMessage
) -> None:
    await state.submit(QUEUE, task)
    await claimed(state, task)

    async with asyncio.timeout(5):
        bad, good = await asyncio.gather(
            state.write(task.id, "token", fields={"message": "\ud800"}),
            state.write(task.id, "token", fields={"step": 1}),
            return_exceptions=True,
        )

    assert isinstance(bad, UnicodeEncodeError)
    assert good == "ok"


async def test_several_are_read_at_once(state: State, task: TaskMessage) -> None:
    await state.submit(QUEUE, task)

    nothing, found = await state.get_many(["unknown", task.id])

    assert found is not None
    assert (found.id, nothing) == (task.id, None)
    assert await state.get("unknown") is None
    assert await state.get_many([]) == []


INFO = {
    "host": "h",
    "pid": 1,
    "version": "1",
    "queues": ["quick_tasks"],
    "started_at": "2026-01-01T00:00:00Z",
}


@pytest.fixture
async def workers(connections: Connections) -> AsyncIterator[Workers]:
    workers = Workers(connections)
    yield workers
    await workers.close()


async def test_a_process_is_alive_while_it_beats(
    connections: Connections, workers: Workers
) -> None:
    beat = Heartbeat(connections, "worker@h:1", INFO)
    beat.start()
    await wait_for(workers.all)

    await workers.report("worker@h:1", {"task": now()})
    (known,) = await workers.alive()
    assert (known.id, known.queues, list(known.active)) == ("worker@h:1", ["quick_tasks"], ["task"])
    assert await workers.is_dead("worker@h:1") is False

    await asyncio.to_thread(beat.stop)
    assert await workers.all() == []
    began = time.monotonic()
    assert await workers.is_dead("worker@h:1") is True
    assert time.monotonic() - began >= DEAD_AFTER


async def test_a_process_whose_beat_has_stopped_is_listed_but_not_alive(
    connections: Connections, workers: Workers
) -> None:
    beat = Heartbeat(connections, "worker@h:1", INFO)
    await asyncio.to_thread(beat._beat)  # one beat, and no more: the process was killed

    assert [known.id for known in await workers.all()] == ["worker@h:1"]
    assert await workers.alive() == []
    assert await workers.is_dead("worker@h:1") is True

    await asyncio.to_thread(beat._client.close)


async def test_a_report_of_a_process_that_is_gone_does_not_bring_it_back(
    state: State, workers: Workers
) -> None:
    await workers.report("worker@h:1", {"task": now()})

    assert await workers.all() == []
    assert 0 < await state._client.ttl(worker_key("worker@h:1")) <= FORGET_AFTER


@pytest.fixture
def own_redis(redis_server: Redis, services_folder: Path) -> Iterator[Redis]:
    """One that may be stopped."""
    service = Redis(services_folder / "redis-stopped")
    service.start()
    yield service
    service.stop()


@pytest.mark.services
async def test_without_redis_every_call_says_so_and_with_it_they_work_again(
    own_redis: Redis, task: TaskMessage
) -> None:
    connections = Connections(own_redis.url)
    state, workers = State(connections), Workers(connections)
    await state.submit(QUEUE, task)
    await claimed(state, task)

    await asyncio.to_thread(own_redis.stop)
    calls: list[Callable[[], Awaitable[object]]] = [
        state.ping,
        lambda: state.submit(QUEUE, task),
        lambda: state.confirm(task.id),
        lambda: state.claim(QUEUE, task, token="other", worker="w"),
        lambda: state.write(task.id, "token", events=[event(1, 2)]),
        lambda: end(state, task),
        lambda: state.get(task.id),
        lambda: state.get_many([task.id]),
        lambda: state.events(task.id),
        lambda: state.expire([task.id], 60),
        lambda: workers.is_dead("worker@a:1"),
        workers.all,
    ]
    for call in calls:
        with pytest.raises(StateUnavailable):
            await asyncio.wait_for(call(), 5)

    await asyncio.to_thread(own_redis.start)
    assert await state.write(task.id, "token", events=[event(1, 2)]) == "ok"
    assert [item.id for item in await state.events(task.id)] == [(0, 1), (1, 1), (1, 2)]
    await state.close()
    await workers.close()


async def test_an_idempotency_key_belongs_to_one_request(state: State) -> None:
    keys = IdempotencyKeys(state)

    first = await keys.reserve("key", "hash", "task-1")
    during = await keys.reserve("key", "hash", "task-2")
    other = await keys.reserve("key", "another hash", "task-3")
    await keys.accepted("key")
    after = await keys.reserve("key", "hash", "task-4")

    assert [item.outcome for item in (first, during, other, after)] == [
        "new",
        "busy",
        "other_body",
        "done",
    ]
    assert after.task_id == "task-1"


async def test_a_key_is_its_own_callers_when_the_call_is_sent_again(state: State) -> None:
    keys = IdempotencyKeys(state)

    first = await keys.reserve("key", "hash", "task-1")
    again = await keys.reserve("key", "hash", "task-1")  # the driver, after a lost answer

    assert (first.outcome, again.outcome) == ("new", "new")


async def test_a_failed_acceptance_gives_its_key_and_its_task_id_on(state: State) -> None:
    keys = IdempotencyKeys(state)
    await keys.reserve("key", "hash", "task-1")

    await keys.give_back("key")
    again = await keys.reserve("key", "hash", "task-2")

    assert (again.outcome, again.task_id) == ("again", "task-1")
