"""`quick`: figures of some numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stepline.authoring import Context, handler, task_type
from stepline.contract import QuickRequest
from stepline.errors import Reject

Number = int | float

_EXACT_IN_FLOAT = 2**53
_SMALLEST_FLOAT_BITS = 1074
"""Every float is a whole multiple of 2^-1074."""


@handler
async def quick(_ctx: Context, payload: QuickRequest) -> dict[str, Any]:
    """Sum, average, least, greatest and count.

    Sums are exact before they are rounded once. A sum of integers stays an integer as long as 64
    bits hold it (JSON here carries no larger ones). Raises `Reject` (code `overflow`) where a
    figure is beyond what a float can hold.
    """
    numbers = payload.numbers
    try:
        total = _total(numbers)
        average = total / len(numbers)
    except OverflowError as error:
        raise Reject(
            "the sum of these numbers is too large for a number", code="overflow"
        ) from error
    return {
        "sum": _carried(total),
        "average": average,
        "max": max(numbers),
        "min": min(numbers),
        "count": len(numbers),
    }


def _total(numbers: Sequence[Number]) -> Number:
    if all(isinstance(number, int) for number in numbers):
        return sum(numbers)
    if any(isinstance(number, int) and abs(number) > _EXACT_IN_FLOAT for number in numbers):
        return _exact_float_sum(numbers)
    try:
        return math.fsum(numbers)
    except OverflowError:
        # fsum gives up on a large intermediate even if the rest takes it back.
        return _exact_float_sum(numbers)


def _exact_float_sum(numbers: Sequence[Number]) -> float:
    scaled = 0
    for number in numbers:
        numerator, denominator = number.as_integer_ratio()
        scaled += numerator << (_SMALLEST_FLOAT_BITS - (denominator.bit_length() - 1))
    return scaled / (1 << _SMALLEST_FLOAT_BITS)


def _carried(total: Number) -> Number:
    return total if isinstance(total, float) or -(2**63) <= total < 2**64 else float(total)


QUICK = task_type(
    "quick",
    payload=QuickRequest,
    handlers=[quick],
    queue="quick_tasks",
    timeout=30,
    description="Figures of some numbers.",
    short=True,
)
