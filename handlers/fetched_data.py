"""What of an HTTP answer goes into a task's result: JSON as data, text as text, no bytes."""

from __future__ import annotations

from typing import Any

import orjson
from stepline.authoring import Fetched

_DEEPEST = 100
"""Levels of nesting that are kept: encoders have a limit, and the result wraps some more around."""

_TEXT_TYPES = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/toml",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
    }
)


def data_of(fetched: Fetched, room: int) -> tuple[Any, str | None]:
    """The answer's data and, where it is not simply that, a note that says why.

    `room` is the most bytes to keep.
    """
    kind = fetched.content_type.lower()
    if not fetched.body:
        return None, None
    if kind == "application/json" or kind.endswith("+json"):
        return _json(fetched, room)
    if kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith("+xml"):
        return _text(fetched, room)
    return None, f"{kind} is not shown: only JSON and text are"


def _json(fetched: Fetched, room: int) -> tuple[Any, str | None]:
    if len(fetched.body) > room:
        return None, f"JSON of {len(fetched.body)} bytes is not shown: there is room for {room}"
    try:
        value = orjson.loads(_decode(fetched).removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))
    except orjson.JSONDecodeError as error:
        text, note = _text(fetched, room)
        return text, f"not valid JSON: {error}" + (f"; {note}" if note else "")
    if _depth_exceeds(value, _DEEPEST):
        return None, f"JSON nested deeper than {_DEEPEST} levels is not shown"
    return value, None


def _text(fetched: Fetched, room: int) -> tuple[str, str | None]:
    text = _decode(fetched)
    encoded = text.encode()
    if len(encoded) <= room:
        return text, None
    return encoded[:room].decode(errors="ignore"), f"cut: {room} of {len(encoded)} bytes shown"


def _decode(fetched: Fetched) -> str:
    text = fetched.body.decode(fetched.charset, errors="replace")
    # Some charsets can spell lone surrogates, which no JSON carries.
    return text.encode("utf-8", errors="replace").decode()


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
