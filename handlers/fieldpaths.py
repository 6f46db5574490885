"""Where a field is: `email`, `address.city`, `items.0.sku`; in errors about lists `[3].email`.

A key that itself holds dots, as in flattened data, wins over the path it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What `lookup` gives for a field that is not there: None is a value."""


def lookup(record: Any, path: str) -> Any:
    """The value at `path`, or MISSING."""
    if isinstance(record, Mapping):
        if path in record:
            return record[path]
        if "." not in path:
            return MISSING
    node = record
    for part in path.split("."):
        node = _child(node, part)
        if node is MISSING:
            return MISSING
    return node


def replaced(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `record` with `value` at `path`, which exists or is a plain new key.

    Only the containers on the way are copied; the input is never touched.
    """
    if path in record or "." not in path:
        return {**record, path: value}
    root = dict(record)
    node: Any = root
    *way, last = path.split(".")
    for part in way:
        key = _key(node, part)
        node[key] = list(node[key]) if isinstance(node[key], list) else dict(node[key])
        node = node[key]
    node[_key(node, last)] = value
    return root


def kind_of(value: Any) -> str:
    """The JSON name of a value's kind, as errors give it; never the value itself."""
    if value is MISSING:
        return "missing"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for name, types in _KINDS:
        if isinstance(value, types):
            return name
    return type(value).__name__


_KINDS: Final[tuple[tuple[str, Any], ...]] = (
    ("integer", int),
    ("number", float),
    ("string", str),
    ("array", list),
    ("object", Mapping),
)


def _child(node: Any, part: str) -> Any:
    if isinstance(node, Mapping):
        return node.get(part, MISSING)
    if isinstance(node, list) and _INDEX.fullmatch(part) and int(part) < len(node):
        return node[int(part)]
    return MISSING


_INDEX: Final = re.compile(r"[0-9]{1,9}")


def _key(node: Any, part: str) -> Any:
    return int(part) if isinstance(node, list) else part
