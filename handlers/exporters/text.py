"""JSON, YAML and plain text."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Any

import orjson
import yaml

from handlers.exporters.shape import Count, Record, unseen

_COLON = "\\u003a "


def to_json(
    records: list[Any], single: bool, count: Count = unseen
) -> Generator[bytes, None, None]:
    """An object for one object, an array for a list."""
    if single:
        yield orjson.dumps(records[0], option=orjson.OPT_INDENT_2) + b"\n"
        return
    yield b"["
    for place, record in enumerate(records):
        yield (b",\n" if place else b"\n") + orjson.dumps(record)
        count(place + 1)
    yield b"\n]\n"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes also the texts that only other parsers take for something else: `1e3` and `0o17` are
    numbers in YAML 1.2, `08540` too (the leading zero is lost), `y` is true in strict YAML 1.1."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?\Z|0o[0-7]+\Z"),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]\Z"), list("yYnN"))


def to_yaml(
    records: list[Any], single: bool, count: Count = unseen
) -> Generator[bytes, None, None]:
    """A mapping for one object, a sequence of mappings for a list. Parsers of YAML 1.1 and of 1.2
    read the same types."""
    if single or not records:
        yield _yaml(records[0] if single else [])
        return
    for place, record in enumerate(records):
        yield _yaml([record])
        count(place + 1)


def _yaml(value: Any) -> bytes:
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        allow_unicode=True,
        sort_keys=False,
        width=10_000,
    )
    return text.encode()


def to_txt(records: list[Any], single: bool, count: Count = unseen) -> Generator[bytes, None, None]:
    """`field: value` lines, records apart by an empty line; what is no text stands as JSON. The
    first `: ` of a line ends the name; in a name it is written `\\u003a `."""
    del single
    for place, record in enumerate(records):
        yield (b"\n" if place else b"") + "".join(_lines(record)).encode()
        count(place + 1)


def _lines(record: Record) -> Iterator[str]:
    for name, value in record.items():
        # without the escape {"a: b": "c"} and {"a": "b: c"} would be the same line
        yield f"{one_line(name).replace(': ', _COLON)}: {one_line(plain(value))}\n"


def plain(value: Any) -> str:
    """A cell's text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def one_line(text: str) -> str:
    """Line breaks and backslashes escaped, so that a line is a field."""
    for character, escape in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, escape)
    for character in ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
