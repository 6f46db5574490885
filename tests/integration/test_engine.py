"""One task on its road: what a client sees of it, on the embedded parts and on real services."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from stepline.authoring import Context, Finished, RetryPolicy, handler
from stepline.contract import Status
from stepline.errors import Reject, Retry

from infra.broker.base import Message
from infra.broker.topology import HISTORY_QUEUE
from infra.envelope import Envelope
from infra.state.models import Yours
from infra.state.store import checkpoint_field
from tests.stack import FAST, a_type
from tests.waiting import PATIENCE, here, wait_for
from workers import processor

StackOf = Callable[..., Any]


@handler
async def first(ctx: Context) -> dict[str, int]:
    return {"one": 1}


@handler
async def second(ctx: Context) -> dict[str, int]:
    return {"two": ctx.outputs["first"]["one"] + 1}


async def test_a_chain_runs_in_order_and_tells_each_step(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("pair", first, second))
    await stack.worker()

    task_id = await stack.submit("pair", task_name="a pair")

    ended = await stack.ended(task_id)
    assert (ended.status, ended.result, ended.name) == (Status.SUCCESS, {"two": 2}, "a pair")
    events = await stack.resources.state.events(task_id)
    assert [(event.id, event.kind) for event in events] == [
        ((0, 1), "queued"),
        ((1, 1), "started"),
        ((1, 2), "step.started"),
        ((1, 3), "step.completed"),
        ((1, 4), "step.started"),
        ((1, 5), "step.completed"),
        ((1, 6), "succeeded"),
    ]
    record = await stack.recorded(task_id)
    assert (record.status, record.result, record.payload) == (
        Status.SUCCESS,
        {"two": 2},
        {"task_name": "a pair"},
    )
    (attempt,) = await stack.resources.history.attempts(task_id)
    assert [event["id"] for event in attempt.events] == ["1-1", "1-2", "1-3", "1-4", "1-5", "1-6"]
    assert [item["output"] for item in attempt.outputs] == [{"one": 1}, {"two": 2}]


async def test_a_failing_step_is_tried_again_and_finished_steps_are_not(
    stack_of: StackOf,
) -> None:
    runs: list[str] = []

    @handler
    async def steady(ctx: Context) -> str:
        runs.append("steady")
        return "kept"

    @handler
    async def shaky(ctx: Context) -> str:
        runs.append(f"shaky {ctx.attempt}")
        if ctx.attempt < 3:
            raise Retry("not yet")
        return f"{ctx.outputs['steady']} at last"

    stack = await stack_of(a_type("shaky", steady, shaky))
    await stack.worker()

    task_id = await stack.submit("shaky")

    ended = await stack.ended(task_id)
    assert (ended.status, ended.result, ended.attempt) == (Status.SUCCESS, "kept at last", 3)
    assert runs == ["steady", "shaky 1", "shaky 2", "shaky 3"]
    assert (await stack.kinds(task_id)).count("retry.scheduled") == 2
    await stack.recorded(task_id)
    assert len(await stack.resources.history.attempts(task_id)) == 3


async def test_used_up_retries_fail_the_task_and_leave_a_dead_letter(stack_of: StackOf) -> None:
    @handler
    async def broken(ctx: Context) -> None:
        raise RuntimeError("always")

    stack = await stack_of(a_type("broken", broken))
    await stack.worker()

    task_id = await stack.submit("broken", x=1)

    ended = await stack.ended(task_id)
    assert ended.status is Status.FAILURE
    assert ended.error is not None
    assert (ended.error["code"], ended.error["handler"]) == ("handler_error", "broken")
    assert "RuntimeError: always" in ended.error["details"]["traceback"]
    (letter,) = await wait_for(stack.resources.history.dead_letters)
    assert (letter.task_id, letter.reason, letter.queue) == (
        task_id,
        "handler_error",
        "quick_tasks",
    )
    assert b'"x":1' in letter.body


async def test_a_reject_is_final_and_its_report_stays_readable(stack_of: StackOf) -> None:
    runs = []

    @handler
    async def picky(ctx: Context) -> None:
        runs.append(ctx.attempt)
        raise Reject("will not do", code="too_small", output={"seen": 1})

    def finish(finished: Finished) -> Any:
        assert finished.failure is not None
        return {"code": finished.failure.code, "outputs": dict(finished.outputs)}

    stack = await stack_of(a_type("picky", picky, finish=finish))
    await stack.worker()

    record = await stack.recorded(await stack.submit("picky"))

    assert record.status is Status.FAILURE
    assert record.error["code"] == "too_small"
    assert record.result == {"code": "too_small", "outputs": {"picky": {"seen": 1}}}
    assert runs == [1]
    assert await stack.resources.history.dead_letters() == []


async def test_a_step_beyond_its_time_is_stopped(stack_of: StackOf) -> None:
    stopped = asyncio.Event()

    @handler(timeout=0.05, retry=RetryPolicy(attempts=1))
    async def endless(ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    stack = await stack_of(a_type("endless", endless))
    await stack.worker()

    ended = await stack.ended(await stack.submit("endless"))

    assert ended.error is not None
    assert ended.error["code"] == "timeout"
    assert stopped.is_set()


async def test_a_plain_function_runs_in_a_thread_with_a_blocking_context(
    stack_of: StackOf,
) -> None:
    @handler
    def plain(ctx: Any) -> str:
        ctx.progress(1, 2, "half")
        ctx.save({"at": 1})
        return threading.current_thread().name

    stack = await stack_of(a_type("plain", plain))
    await stack.worker()
    task_id = await stack.submit("plain")

    ended = await stack.ended(task_id)

    assert str(ended.result).startswith("handler")
    progress = [event for event in await stack.events(task_id) if event["kind"] == "step.progress"]
    assert [(event["current"], event["total"], event["percent"]) for event in progress] == [
        (1, 2, 50.0)
    ]


async def test_progress_of_a_hot_loop_is_thinned_and_its_last_value_arrives(
    stack_of: StackOf,
) -> None:
    @handler
    async def hot(ctx: Context) -> None:
        for current in range(1, 5_001):
            await ctx.progress(current, 5_000)

    stack = await stack_of(a_type("hot", hot))
    await stack.worker()
    task_id = await stack.submit("hot")

    await stack.ended(task_id)

    seen = [event for event in await stack.events(task_id) if event["kind"] == "step.progress"]
    assert 1 <= len(seen) < 50
    assert seen[-1]["current"] == 5_000


async def test_output_and_log_lines_come_in_order(stack_of: StackOf) -> None:
    @handler
    async def talker(ctx: Context) -> None:
        for word in ("one", "two"):
            await ctx.emit(word)
        await ctx.log("said it", words=2)

    stack = await stack_of(a_type("talker", talker))
    await stack.worker()
    task_id = await stack.submit("talker")

    await stack.ended(task_id)

    told = [
        event for event in await stack.events(task_id) if event["kind"] in ("step.output", "log")
    ]
    assert [event["data"] for event in told] == ["one", "two", {"words": 2}]
    assert told[-1]["message"] == "said it"


async def test_long_work_never_delays_quick_work(stack_of: StackOf) -> None:
    release = asyncio.Event()

    @handler
    async def occupied(ctx: Context) -> None:
        await release.wait()

    stack = await stack_of(
        a_type("occupied", occupied, queue="long_tasks"),
        a_type("pair", first, second),
        worker_concurrency=2,
    )
    await stack.worker()
    blockers = [await stack.submit("occupied") for _ in range(6)]
    await wait_for(lambda: _statuses(stack, blockers, Status.RUNNING, 2))

    quick = await stack.ended(await stack.submit("pair"), timeout=here(5.0))

    assert quick.status is Status.SUCCESS
    assert await _statuses(stack, blockers, Status.RUNNING, 2), "two slots, and both are taken"
    release.set()
    for task_id in blockers:
        await stack.ended(task_id)


async def _statuses(stack: Any, ids: list[str], status: Status, count: int) -> bool:
    states = await stack.resources.state.get_many(ids)
    return sum(1 for state in states if state.status is status) == count


async def test_a_dead_worker_s_task_goes_on_after_its_last_checkpoint(stack_of: StackOf) -> None:
    runs: list[str] = []

    @handler(name="first")
    async def counted(ctx: Context) -> dict[str, int]:
        runs.append("first")
        return {"one": 100}

    stack = await stack_of(a_type("pair", counted, second))
    envelope = stack.draft("pair")
    (task,) = envelope.tasks
    await stack.resources.state.submit(envelope.queue, task)
    claim = await stack.resources.state.claim(
        envelope.queue, task, token="the dead one's", worker="worker@gone:1"
    )
    assert isinstance(claim, Yours)
    await stack.resources.state.write(
        task.id, claim.token, steps={checkpoint_field(0, "first"): b'{"one":41}'}
    )
    await stack.resources.broker.send(HISTORY_QUEUE, envelope.message())
    await stack.resources.broker.send(envelope.queue, envelope.message())
    await stack.worker()

    ended = await stack.ended(task.id)

    assert (ended.result, ended.attempt) == ({"two": 42}, 2)
    assert runs == []
    assert await stack.resources.state.write(task.id, claim.token) == "lost"


async def test_the_same_message_twice_runs_once(stack_of: StackOf) -> None:
    runs = []
    release = asyncio.Event()

    @handler
    async def once(ctx: Context) -> None:
        runs.append(ctx.attempt)
        await release.wait()

    stack = await stack_of(a_type("once", once))
    await stack.worker()
    envelope = stack.draft("once")
    task_id = envelope.tasks[0].id
    await stack.submitter.submit(envelope)
    await wait_for(lambda: runs)

    await stack.resources.broker.send(envelope.queue, envelope.message())
    await stack.resources.broker.send(envelope.queue, envelope.message())
    await wait_for(lambda: _depth_is(stack, envelope.queue, 0))
    release.set()
    await stack.ended(task_id)
    await stack.resources.broker.send(envelope.queue, envelope.message())
    probe = await stack.submit("once")
    await stack.ended(probe)

    assert runs == [1, 1], "the task and the probe, once each"
    assert (await stack.kinds(task_id)).count("started") == 1


async def _depth_is(stack: Any, queue: str, depth: int) -> bool:
    return bool(await stack.resources.broker.depth(queue) == depth)


async def test_rubbish_is_kept_as_a_dead_letter_and_its_neighbours_run(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("pair", first, second))
    await stack.worker()

    await stack.resources.broker.send("quick_tasks", Message("envelope", b"{rubbish"))
    task_id = await stack.submit("pair")

    assert (await stack.ended(task_id)).status is Status.SUCCESS
    (letter,) = await wait_for(stack.resources.history.dead_letters)
    assert (letter.reason, letter.body, letter.queue) == (
        "undecodable",
        b"{rubbish",
        "quick_tasks",
    )


async def test_a_type_nobody_knows_waits_for_a_deploy(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "UNKNOWN_DELAY", 0.25)
    stack = await stack_of(a_type("pair", first, second), a_type("new", first))
    envelope = stack.draft("new")
    del stack.registry._types["new"]
    await stack.worker()
    await stack.submitter.submit(envelope)
    await wait_for(lambda: _depth_is(stack, "quick_tasks", 0))

    stack.registry.add(a_type("new", first))

    assert (await stack.ended(envelope.tasks[0].id)).status is Status.SUCCESS


async def test_a_type_nobody_ever_knows_fails_and_is_kept(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "UNKNOWN_FOR", 0.0)
    stack = await stack_of(a_type("pair", first, second), a_type("new", first))
    envelope = stack.draft("new")
    del stack.registry._types["new"]
    await stack.worker()

    await stack.submitter.submit(envelope)

    ended = await stack.ended(envelope.tasks[0].id)
    assert ended.error is not None
    assert (ended.status, ended.error["code"]) == (Status.FAILURE, "unknown_name")
    (letter,) = await wait_for(stack.resources.history.dead_letters)
    assert letter.reason == "unknown_name"


async def test_one_of_a_type_nobody_ever_knows_that_is_too_late_ends_as_any(
    stack_of: StackOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "UNKNOWN_FOR", 0.0)
    stack = await stack_of(a_type("pair", first, second), a_type("new", first))
    task = replace(stack.draft("new").tasks[0], deadline=time.time() - 1)
    del stack.registry._types["new"]
    await stack.worker()

    await stack.submitter.submit(Envelope("quick_tasks", (task,)))

    ended = await stack.ended(task.id)
    assert ended.error is not None
    assert (ended.status, ended.error["code"]) == (Status.FAILURE, "expired")
    assert (await stack.recorded(task.id)).status is Status.FAILURE


async def test_an_envelope_of_several_tasks_runs_them_all(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("pair", first, second))
    await stack.worker()
    tasks = tuple(stack.draft("pair").tasks[0] for _ in range(20))

    await stack.resources.broker.accept("quick_tasks", Envelope("quick_tasks", tasks).message())

    for task in tasks:
        assert (await stack.recorded(task.id)).status is Status.SUCCESS


async def test_a_slow_task_holds_no_neighbour_of_its_envelope_back(stack_of: StackOf) -> None:
    release = asyncio.Event()

    @handler
    async def slow_first(ctx: Context) -> None:
        if ctx.task_name == "slow":
            await asyncio.wait_for(release.wait(), 20)

    stack = await stack_of(a_type("mixed", slow_first))
    await stack.worker()
    slow = stack.draft("mixed", task_name="slow").tasks[0]
    rest = [stack.draft("mixed", task_name="fast").tasks[0] for _ in range(3)]
    envelope = Envelope("quick_tasks", (rest[0], slow, *rest[1:]))
    await stack.resources.broker.accept("quick_tasks", envelope.message())

    assert (await stack.ended(rest[0].id)).status is Status.SUCCESS
    release.set()
    for task in (slow, *rest):
        assert (await stack.ended(task.id)).status is Status.SUCCESS


async def test_a_stopping_worker_hands_over_after_the_last_checkpoint(stack_of: StackOf) -> None:
    runs: list[str] = []
    begun = asyncio.Event()

    @handler
    async def done(ctx: Context) -> str:
        runs.append("done")
        return "done"

    @handler
    async def patient(ctx: Context) -> str:
        runs.append(f"patient {ctx.saved}")
        await ctx.save(len(runs))
        begun.set()
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return "ended"

    stack = await stack_of(a_type("patient", done, patient), worker_grace=0.05)
    worker = await stack.worker()
    task_id = await stack.submit("patient")
    await begun.wait()

    await worker.runtime.stop()
    handed_over = await stack.state(task_id)
    await stack.worker()
    ended = await stack.ended(task_id)

    assert handed_over.status is Status.RETRYING
    assert ended.result == "ended"
    assert runs == ["done", "patient None", "patient 2"]
    assert ended.failures == 0


async def test_a_stopping_worker_hands_over_what_is_left_of_an_envelope(
    stack_of: StackOf,
) -> None:
    begun = asyncio.Event()

    @handler
    async def patient(ctx: Context) -> str:
        begun.set()
        if ctx.attempt == 1 and ctx.task_name == "slow":
            await asyncio.Event().wait()
        return "ended"

    stack = await stack_of(a_type("patient", patient), worker_grace=0.05)
    worker = await stack.worker()
    names = ("slow", "next", "last")
    tasks = tuple(stack.draft("patient", task_name=name).tasks[0] for name in names)
    await stack.resources.broker.accept("quick_tasks", Envelope("quick_tasks", tasks).message())
    await begun.wait()

    await worker.runtime.stop()
    await stack.worker()

    for task in tasks:
        assert (await stack.ended(task.id)).result == "ended"


async def test_a_flush_of_redis_loses_no_running_task(stack_of: StackOf) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    @handler
    async def survivor(ctx: Context) -> str:
        begun.set()
        await release.wait()
        return "still here"

    stack = await stack_of(a_type("survivor", first, survivor))
    await stack.worker()
    task_id = await stack.submit("survivor")
    await begun.wait()

    await stack.resources.state._client.flushdb()
    release.set()

    record = await stack.recorded(task_id)
    assert (record.status, record.result, record.attempt) == (Status.SUCCESS, "still here", 1)


async def test_an_ended_task_is_not_run_again_when_redis_has_forgotten_it(
    stack_of: StackOf,
) -> None:
    runs = []

    @handler
    async def counted(ctx: Context) -> None:
        runs.append(ctx.task_id)

    stack = await stack_of(a_type("counted", counted))
    await stack.worker()
    envelope = stack.draft("counted")
    await stack.submitter.submit(envelope)
    await stack.recorded(envelope.tasks[0].id)
    await stack.resources.state._client.flushdb()

    await stack.resources.broker.send(envelope.queue, envelope.message())
    probe = await stack.submit("counted")
    await stack.ended(probe)

    assert runs == [envelope.tasks[0].id, probe]


async def test_what_has_ended_expires_from_redis_only_after_history_has_it(
    stack_of: StackOf,
) -> None:
    stack = await stack_of(a_type("pair", first, second), state_ttl=3600)
    await stack.worker()
    task_id = await stack.submit("pair")
    await stack.recorded(task_id)

    client = stack.resources.state._client
    keys = await client.keys(f"*{task_id}*")
    for key in keys:
        remaining = await wait_for(lambda key=key: _ttl(client, key))
        assert 0 < remaining <= 3600
    assert len(keys) == 3, "the task, its events, its checkpoints"


async def _ttl(client: Any, key: bytes) -> int:
    return max(0, await client.ttl(key))


async def test_a_large_output_goes_to_the_exports_store_and_comes_back(stack_of: StackOf) -> None:
    @handler
    async def big(ctx: Context) -> str:
        return "x" * 1_500_000

    @handler
    async def shaky(ctx: Context) -> int:
        if ctx.attempt == 1:
            raise Retry("once more")
        return len(ctx.outputs["big"])

    stack = await stack_of(a_type("big", big, shaky, retry=FAST))
    await stack.worker()
    task_id = await stack.submit("big")

    ended = await stack.ended(task_id)

    assert (ended.result, ended.attempt) == (1_500_000, 2)
    assert await stack.resources.exports.get_blob(f"{task_id}/0") is not None


async def test_a_result_that_is_no_json_is_a_clear_failure(stack_of: StackOf) -> None:
    @handler
    async def odd(ctx: Context) -> object:
        return object()

    stack = await stack_of(a_type("odd", odd, retry=RetryPolicy(attempts=1)))
    await stack.worker()

    ended = await stack.ended(await stack.submit("odd"))

    assert ended.error is not None
    assert "object" in ended.error["message"]


async def test_a_process_that_has_done_its_share_says_so(stack_of: StackOf) -> None:
    stack = await stack_of(a_type("pair", first, second), worker_max_tasks=2)
    worker = await stack.worker()

    await stack.ended(await stack.submit("pair"))
    assert not worker.runtime.full.is_set()
    await stack.ended(await stack.submit("pair"))

    await asyncio.wait_for(worker.runtime.full.wait(), PATIENCE)
