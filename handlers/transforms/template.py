"""`format_TEMPLATE`: text with holes, filled from the value and the record's fields; nothing else.

`str.format` itself would follow attributes and indexes into the interpreter, and pad to any width.
Here a hole is a plain field name and, at most, a small number format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

from handlers.fieldpaths import kind_of
from handlers.transforms.numeric import to_string
from handlers.transforms.registry import MAX_TEXT, Apply, BadTransform, Misfit, with_argument

_OF_VALUE: Final = ("", "value")
_FORMAT: Final = re.compile(r"[<>^]?[+ ]?0?[0-9]{0,2},?(?:\.[0-9]{1,2})?[dfeg%]?")


@dataclass(frozen=True, slots=True)
class _Hole:
    name: str
    form: str


def _stands_alone(template: str) -> bool:
    """Whether no hole is for the field's own value: such a template can make a new field."""
    return not any(isinstance(part, _Hole) and part.name in _OF_VALUE for part in _parse(template))


@with_argument("format", "format_{value}", creates=_stands_alone)
def format_template(argument: str) -> Apply:
    """`{}` and `{value}` are the value, `{first_name}` another field, `{{` and `}}` braces."""
    parts = _parse(argument)

    def apply(value: Any, record: Mapping[str, Any]) -> str:
        pieces: list[str] = []
        room = MAX_TEXT
        for part in parts:
            piece = part if isinstance(part, str) else _fill(part, value, record)
            room -= len(piece)
            if room < 0:
                raise Misfit(f"format would make more than {MAX_TEXT:,} characters of it")
            pieces.append(piece)
        return "".join(pieces)

    return apply


def _parse(template: str) -> list[str | _Hole]:
    parts: list[str | _Hole] = []
    try:
        for literal, name, form, conversion in Formatter().parse(template):
            if literal:
                parts.append(literal)
            if name is not None:
                parts.append(_hole(name, form or "", conversion))
    except BadTransform:
        raise
    except ValueError as error:
        raise BadTransform(f"the template is broken: {error}") from error
    return parts


def _hole(name: str, form: str, conversion: str | None) -> _Hole:
    if any(character in name for character in ".[]"):
        raise BadTransform(f"{{{name}}}: a hole may name a field, nothing inside of it")
    if conversion or not _FORMAT.fullmatch(form):
        raise BadTransform(
            f"{{{name}}}: only simple number formats such as {{value:.2f}} are taken"
        )
    return _Hole(name, form)


def _fill(hole: _Hole, value: Any, record: Mapping[str, Any]) -> str:
    if hole.name not in _OF_VALUE:
        if hole.name not in record:
            raise Misfit(f"format: there is no field {hole.name!r}")
        value = record[hole.name]
    if value is None:
        return ""
    if not hole.form:
        return to_string(value)
    try:
        return format(value, hole.form)
    except (ValueError, TypeError, OverflowError) as error:
        kind = kind_of(value)
        raise Misfit(f"format: {hole.form!r} does not fit a value of kind {kind}") from error
