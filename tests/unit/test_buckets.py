"""Durations in buckets: percentiles of sums are right to within a tenth."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.history.buckets import bounds, bucket_of, percentile


@given(st.floats(min_value=0.0, max_value=4_000_000.0))
def test_a_duration_lies_within_the_bounds_of_its_bucket(seconds: float) -> None:
    lower, upper = bounds(bucket_of(seconds))

    assert lower * (1 - 1e-6) <= seconds <= upper * (1 + 1e-6)


@given(
    st.lists(st.floats(min_value=0.002, max_value=100_000.0), min_size=1, max_size=300),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_a_percentile_is_right_to_within_a_bucket(seconds: list[float], share: float) -> None:
    found = percentile(Counter(map(bucket_of, seconds)), share)

    exact = sorted(seconds)[max(0, -(-len(seconds) * share // 1).__int__() - 1)]
    assert found is not None
    assert exact / 1.21 <= found <= exact * 1.21


def test_of_nothing_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None


def test_what_lies_in_one_bucket_is_taken_to_lie_evenly() -> None:
    lower, upper = bounds(40)

    assert percentile({40: 10}, 0.5) == pytest.approx((lower + upper) / 2)
