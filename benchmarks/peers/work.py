"""The work itself, the same for all: pure functions, no library."""

from __future__ import annotations

from typing import Any

NUMBERS = list(range(10))
STEPS = 5
"""Length of a chain."""
PAUSE = 0.1
"""Seconds of waiting in an `io` task."""
CONCURRENCY = 500
"""Tasks at once on the one worker of the `io` scenario."""
LARGE = "x" * 1_000_000
"""One megabyte."""


def figures(numbers: list[int]) -> dict[str, Any]:
    """A tiny task: figures of ten numbers."""
    return {
        "sum": sum(numbers),
        "average": sum(numbers) / len(numbers),
        "max": max(numbers),
        "min": min(numbers),
        "count": len(numbers),
    }


EXPECTED: dict[str, Any] = {
    "tiny": figures(NUMBERS),
    "chain": STEPS,
    "io": "waited",
    "large": len(LARGE),
}
"""What a finished task of each kind returns; a chain's steps each add one to nought."""
