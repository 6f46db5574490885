"""JSON, one way everywhere: compact UTF-8, RFC 3339 times in UTC, no NaN and no infinity."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

JSONDecodeError = orjson.JSONDecodeError

Encoded = orjson.Fragment
"""JSON that is encoded already: `dumps` puts it in as it is."""


def dumps(value: Any) -> bytes:
    """Encode. Raises `TypeError` for what is not JSON (also for lone surrogates)."""
    try:
        return orjson.dumps(value, option=orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError as error:
        raise TypeError(str(error)) from error


def loads(data: bytes | str) -> Any:
    """Decode. Raises `JSONDecodeError` (a `ValueError`)."""
    return orjson.loads(data)


def now() -> datetime:
    return datetime.now(UTC)


_latest: list[tuple[datetime | None, str]] = [(None, "")]
"""The one moment that was made into text last: it is often asked for several times in a row."""


def timestamp(moment: datetime) -> str:
    """RFC 3339 with microseconds, in UTC."""
    known, text = _latest[0]
    if moment is not known:
        text = _timestamp(moment)
        _latest[0] = (moment, text)
    return text


def _timestamp(moment: datetime) -> str:
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    # a sixth of what `isoformat` takes; it leaves out a fraction of zero
    text = orjson.dumps(moment, option=orjson.OPT_UTC_Z).decode()
    return text[1:-1] if moment.microsecond else f"{text[1:-2]}.000000Z"


def moment(text: str) -> datetime:
    """The reverse of `timestamp`."""
    return datetime.fromisoformat(text)
