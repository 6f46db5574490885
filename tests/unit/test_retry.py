"""What a failure means for its task."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepline.authoring import RetryPolicy
from stepline.errors import Reject, Retry

from workers.chain import StepTimeout
from workers.retry import TRACEBACK_LIMIT, GiveUp, TryAgain, decide, describe, traceback_of

POLICY = RetryPolicy(attempts=3, base=2.0, cap=5.0)


def test_a_reject_is_final_and_keeps_its_code_output_and_details() -> None:
    failure = describe(Reject("no", code="bad", output={"a": 1}, details={"b": 2}), "step")

    decision = decide(failure, POLICY, failures=1)

    assert decision == GiveUp(failure, dead_letter=False)
    assert (failure.code, failure.output, failure.details) == ("bad", {"a": 1}, {"b": 2})


@pytest.mark.parametrize(("failures", "ceiling"), [(1, 2.0), (2, 4.0)], ids=["base", "doubled"])
def test_the_wait_is_drawn_below_a_doubling_ceiling(failures: int, ceiling: float) -> None:
    failure = describe(RuntimeError("away"), "step")

    decision = decide(failure, POLICY, failures=failures, draw=lambda: 0.5)

    assert decision == TryAgain(ceiling / 2, failure)


def test_the_ceiling_has_a_cap() -> None:
    policy = RetryPolicy(attempts=100, base=2.0, cap=5.0)

    decision = decide(describe(Retry("x"), "step"), policy, failures=99, draw=lambda: 0.999)

    assert isinstance(decision, TryAgain)
    assert decision.delay == pytest.approx(5.0, rel=0.01)


def test_a_retry_may_name_its_own_delay() -> None:
    failure = describe(Retry("later", delay=42.0), "step")

    assert decide(failure, POLICY, failures=1) == TryAgain(42.0, failure)


def test_used_up_attempts_go_to_the_dead_letters_even_if_a_delay_is_named() -> None:
    failure = describe(Retry("later", delay=42.0), "step")

    assert decide(failure, POLICY, failures=3) == GiveUp(failure, dead_letter=True)


def test_an_unknown_exception_is_told_with_its_type_and_traceback() -> None:
    try:
        raise KeyError("missing")
    except KeyError as error:
        failure = describe(error, "step")

    assert failure.code == "handler_error"
    assert failure.message == "KeyError: 'missing'"
    assert "test_retry.py" in failure.details["traceback"]
    assert not failure.permanent


def test_a_timeout_is_transient() -> None:
    failure = describe(StepTimeout("too long"), "step")

    assert (failure.code, failure.permanent) == ("timeout", False)


@given(failures=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_no_wait_is_negative_or_beyond_the_cap(failures: int, draw: float) -> None:
    policy = RetryPolicy(attempts=10_001, base=1.0, cap=300.0)

    decision = decide(describe(Retry(), "s"), policy, failures=failures, draw=lambda: draw)

    assert isinstance(decision, TryAgain)
    assert 0.0 <= decision.delay <= 300.0


def test_a_policy_without_an_attempt_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(attempts=0)


def test_an_unexpected_exception_keeps_a_traceback_from_the_handler_on() -> None:
    def deeper() -> None:
        raise ValueError("amqp://me:hidden-word@host refused")

    try:
        deeper()
    except ValueError as error:
        failure = describe(error, "step")

    text = failure.details["traceback"]
    assert "in deeper" in text
    assert text.endswith("ValueError: amqp://me:***@host refused\n")
    assert "hidden-word" not in text + failure.message
    assert len(text) <= TRACEBACK_LIMIT


async def test_a_traceback_leaves_the_engine_out() -> None:
    def broken() -> None:
        raise ValueError("no")

    try:
        await asyncio.to_thread(broken)
    except ValueError as error:
        first = error.__traceback__
        assert first is not None
        error.__traceback__ = first.tb_next  # the test's own frame, which no engine has
        text = traceback_of(error)

    assert "concurrent" not in text
    assert text.count("File ") == 1
