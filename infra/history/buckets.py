"""Durations in buckets: counts can be added up over any time, and percentiles read from the sums.

Bucket n holds what took more than 1 ms · 1.2^(n-1) and at most 1 ms · 1.2^n, bucket 0 all that was
shorter: a percentile is right to within a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

SHORTEST = 0.001
FACTOR = 1.2
LAST = 160
"""Beyond some fifty days it is all the same."""


def bucket_of(seconds: float) -> int:
    if seconds <= SHORTEST:
        return 0
    return min(LAST, math.ceil(round(math.log(seconds / SHORTEST, FACTOR), 9)))


def bounds(bucket: int) -> tuple[float, float]:
    """(more than, at most) seconds."""
    upper = SHORTEST * FACTOR**bucket
    return (0.0 if bucket == 0 else upper / FACTOR), upper


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The seconds that `share` (0…1) of them took at most; None of nothing. Within a bucket they
    are taken to lie evenly."""
    total = sum(counts.values())
    if not total:
        return None
    rank, passed = share * total, 0
    for bucket in sorted(counts):
        if passed + counts[bucket] >= rank:
            lower, upper = bounds(bucket)
            return lower + (upper - lower) * (rank - passed) / counts[bucket]
        passed += counts[bucket]
    return bounds(max(counts))[1]
