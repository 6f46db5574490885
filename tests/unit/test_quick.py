"""`quick`: the figures are exact, and what no number can hold is an error."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepline.contract import QuickRequest
from stepline.errors import Reject

from handlers.quick import QUICK, quick
from tests.unit.fakes import context


async def figures(*numbers: float) -> dict[str, Any]:
    result: dict[str, Any] = await quick(context(), QuickRequest(numbers=list(numbers)))
    return result


async def test_one_to_ten() -> None:
    assert await figures(*range(1, 11)) == {
        "sum": 55,
        "average": 5.5,
        "max": 10,
        "min": 1,
        "count": 10,
    }


async def test_a_sum_of_integers_is_an_integer() -> None:
    result = await figures(2**53, 1, 1)
    assert result["sum"] == 2**53 + 2
    assert isinstance(result["sum"], int)


async def test_a_sum_beyond_64_bits_is_the_nearest_float() -> None:
    result = await figures(2**63, 2**63, 1)
    assert result["sum"] == float(2**64)
    assert isinstance(result["sum"], float)


async def test_floats_are_summed_without_losing_the_small_ones() -> None:
    assert (await figures(*[0.1] * 10))["sum"] == 1.0
    assert (await figures(1e100, 1.0, -1e100))["sum"] == 1.0
    assert (await figures(2**53 + 1, 0.5, -(2**53)))["sum"] == 1.5


async def test_one_number_is_all_its_figures() -> None:
    assert await figures(-3) == {"sum": -3, "average": -3.0, "max": -3, "min": -3, "count": 1}


async def test_a_sum_too_large_for_a_number_is_an_error() -> None:
    with pytest.raises(Reject) as caught:
        await figures(1.7e308, 1.7e308)
    assert caught.value.code == "overflow"


async def test_a_large_intermediate_that_is_taken_back_is_no_overflow() -> None:
    assert (await figures(1.7e308, 1.7e308, -1.7e308, -1.7e308, 5e-324))["sum"] == 5e-324


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), min_size=1))
async def test_the_sum_is_the_exact_sum_rounded_once(numbers: list[float]) -> None:
    exact = sum(map(Fraction, numbers))
    try:
        expected = float(exact)
    except OverflowError:
        with pytest.raises(Reject):
            await figures(*numbers)
        return
    result = await figures(*numbers)
    assert result["sum"] == (exact if isinstance(result["sum"], int) else expected)
    assert math.isfinite(result["average"])


def test_it_goes_to_the_quick_queue() -> None:
    assert (QUICK.name, QUICK.queue, list(QUICK.plan(None))) == ("quick", "quick_tasks", ["quick"])
