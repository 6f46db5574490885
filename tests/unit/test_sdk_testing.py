"""`run_chain` decides as the engine does, and keeps what the handlers did."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ValidationError
from stepline import Context, Reject, Retry, RetryPolicy, handler, task_type
from stepline.testing import FixedUsers, RecordingContext, run_chain


class Numbers(BaseModel):
    numbers: list[int]


@handler
async def double(ctx: Context, payload: Numbers) -> list[int]:
    await ctx.progress(1, 2, "half")
    await ctx.emit({"first": payload.numbers[0]})
    await ctx.log("doubling", count=len(payload.numbers))
    return [2 * number for number in payload.numbers]


@handler
def total(ctx: Context) -> int:
    """A plain function: the same context, blocking."""
    ctx.progress(1)
    ctx.log("adding")
    ctx.save({"seen": 2})
    return sum(ctx.outputs["double"])


def a_type(*handlers, **options):
    return task_type("sums", payload=Numbers, handlers=handlers, **options)


async def test_a_chain_runs_in_order_and_what_it_does_is_kept() -> None:
    ran = await run_chain(a_type(double, total), Numbers(numbers=[1, 2]))

    assert (ran.succeeded, ran.result, ran.attempts) == (True, 6, 1)
    assert ran.outputs == {"double": [2, 4], "total": 6}
    first, second = ran.contexts["double"], ran.contexts["total"]
    assert first.progressed == [(1, 2, "half")]
    assert first.emitted == [{"first": 1}]
    assert first.logged == [("doubling", {"count": 2})]
    assert (second.progressed, second.logged) == ([(1, None, None)], [("adding", {})])
    assert (second.saves, second.index, second.total) == ([{"seen": 2}], 1, 2)
    assert second.payload == Numbers(numbers=[1, 2])


async def test_a_step_is_tried_again_with_what_it_saved_up_to_the_policys_attempts() -> None:
    seen: list[tuple[int, object]] = []

    @handler(retry=RetryPolicy(attempts=3))
    async def shaky(ctx: Context) -> str:
        seen.append((ctx.attempt, ctx.saved))
        await ctx.save({"tries": ctx.attempt})
        if ctx.attempt < 3:
            raise Retry("not yet", delay=3600)
        return "done"

    ran = await run_chain(a_type(shaky), {"numbers": []})

    assert (ran.result, ran.attempts) == ("done", 3)
    assert seen == [(1, None), (2, {"tries": 1}), (3, {"tries": 2})]


async def test_it_fails_with_the_code_that_the_service_would_give() -> None:
    @handler(retry=RetryPolicy(attempts=2))
    async def broken(ctx: Context) -> None:
        raise {
            "retry": Retry("down", code="mail_down"),
            "reject": Reject("no", code="bad_rows", output={"rows": 3}),
            "other": KeyError("x"),
        }[str(ctx.task_name)]

    async def failure_of(name: str):
        return await run_chain(
            a_type(broken, total), {"numbers": []}, context=RecordingContext(task_name=name)
        )

    retried = await failure_of("retry")
    assert (retried.failure.code, retried.attempts, retried.succeeded) == ("mail_down", 2, False)
    rejected = await failure_of("reject")
    assert (rejected.failure.code, rejected.attempts) == ("bad_rows", 1)
    assert rejected.outputs == {"broken": {"rows": 3}}
    other = await failure_of("other")
    assert (other.failure.code, other.failure.message) == ("handler_error", "KeyError: 'x'")


async def test_a_step_that_takes_too_long_is_a_timeout() -> None:
    @handler(timeout=0.01, retry=RetryPolicy(attempts=1))
    async def endless(ctx: Context) -> None:
        await asyncio.Event().wait()

    ran = await run_chain(a_type(endless), {"numbers": []})

    assert ran.failure.code == "timeout"
    assert ran.failure.message == "endless took longer than 0.01 s"


async def test_a_step_whose_condition_says_so_is_left_out() -> None:
    @handler(skip=lambda ctx: not ctx.payload.numbers)
    async def never(ctx: Context) -> None:
        raise AssertionError

    ran = await run_chain(a_type(double, never), {"numbers": [1]})
    assert ran.failure is not None  # there are numbers: it ran
    ran = await run_chain(a_type(never), {"numbers": []})
    assert (ran.skipped, ran.outputs, ran.succeeded) == (["never"], {}, True)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cancelled_handler_cleans_up_and_the_rest_does_not_run(stubborn: bool) -> None:
    cleaned: list[bool] = []

    @handler
    async def works(ctx: Context) -> str:
        try:
            for number in range(10):
                await ctx.progress(number, 10)
        except asyncio.CancelledError:
            cleaned.append(True)
            if not stubborn:
                raise
        return "as if nothing were"

    ran = await run_chain(
        a_type(works, total), {"numbers": []}, cancel_when=lambda ctx: len(ctx.progressed) == 3
    )

    assert (ran.cancelled, ran.succeeded, cleaned) == (True, False, [True])
    assert len(ran.contexts["works"].progressed) == 3
    assert "total" not in ran.contexts


@pytest.mark.parametrize("output", [datetime.now(UTC), {1: "a"}, {1, 2}, math.nan, object()])
async def test_what_is_no_json_fails_the_step_as_in_the_service(output: object) -> None:
    @handler(retry=RetryPolicy(attempts=1))
    async def careless(ctx: Context) -> object:
        return output

    ran = await run_chain(a_type(careless), {"numbers": []})

    assert ran.failure.code == "handler_error"
    assert "TypeError" in ran.failure.message


async def test_services_are_the_tests_own() -> None:
    @handler
    async def tell(ctx: Context) -> str:
        await ctx.mailer.send(recipient="a@b.c", subject="s", text="t", message_id="m")
        return ctx.idempotency_key

    context = RecordingContext(task_id="t1", users=FixedUsers({}))
    ran = await run_chain(a_type(tell), {"numbers": []}, context=context)

    assert ran.result == "t1:0:tell"
    assert [mail.recipient for mail in context.mailer.sent] == ["a@b.c"]


async def test_a_payload_that_is_none_and_a_handler_that_is_missing_are_said_so() -> None:
    with pytest.raises(ValidationError):
        await run_chain(a_type(double), {})
    with pytest.raises(KeyError, match="elsewhere"):
        await run_chain(a_type("elsewhere"), {"numbers": []})
