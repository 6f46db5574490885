"""Values that look secret, covered in what is edited and put back in what is sent."""

from __future__ import annotations

import re
from typing import Any

COVER = "••••••"
SECRET = re.compile(
    r"passw|secret|token|api_?key|authorization|cookie|credential|private_?key|\bpin\b"
    r"|card_?number|cvv",
    re.IGNORECASE,
)
"""Names of secret fields; web/sl_json.js has the same."""


class NothingCovered(ValueError):
    """A covered value stands where there was none."""


def covered(value: Any) -> Any:
    """A copy in which the values of secret fields are `COVER`."""
    if isinstance(value, dict):
        return {
            name: COVER if SECRET.search(name) and item not in (None, "") else covered(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [covered(item) for item in value]
    return value


def uncovered(edited: Any, original: Any) -> Any:
    """`edited` with each `COVER` replaced by what stands at its place in `original`. Raises
    `NothingCovered`."""
    if edited == COVER:
        if original is None:
            raise NothingCovered
        return original
    if isinstance(edited, dict):
        source = original if isinstance(original, dict) else {}
        return {name: uncovered(item, source.get(name)) for name, item in edited.items()}
    if isinstance(edited, list):
        items = original if isinstance(original, list) else []
        padded = [*items, *([None] * len(edited))]
        return [uncovered(item, old) for item, old in zip(edited, padded, strict=False)]
    return edited
