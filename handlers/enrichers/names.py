"""Full names and initials, put together from what is there; nothing is guessed from a name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import regex

from handlers.enrichers.base import Enricher, Warn
from handlers.enrichers.fields import (
    FIRST_NAME_FIELDS,
    FULL_NAME_FIELDS,
    LAST_NAME_FIELDS,
    first_given,
)

_EAST_ASIAN: Final = regex.compile(r"[\p{Han}\p{Hangul}\p{Hiragana}\p{Katakana}ー]+")
_PART: Final = regex.compile(r"[\s\-‐]+")
_LETTER: Final = regex.compile(r"\p{L}\p{M}*")


def enrich(record: Mapping[str, Any], _today: date, warn: Warn) -> dict[str, Any]:
    """`full_name`, where first and last name are given; `initials`, where a script has them."""
    first = _text(record, FIRST_NAME_FIELDS, warn)
    last = _text(record, LAST_NAME_FIELDS, warn)
    whole = _text(record, FULL_NAME_FIELDS, warn)
    found: dict[str, Any] = {}
    if whole is None:
        parts = [part for part in (first, last) if part]
        if not parts:
            return {}
        whole = _joined(first, last) if first and last else parts[0]
    found["full_name"] = whole
    initials = _initials(whole)
    if initials:
        found["initials"] = initials
    return found


def _text(record: Mapping[str, Any], names: tuple[str, ...], warn: Warn) -> str | None:
    given = first_given(record, names)
    if given is None:
        return None
    key, value = given
    if not isinstance(value, str):
        warn(key, "a name must be text")
        return None
    return " ".join(value.split())


def _joined(first: str, last: str) -> str:
    # Where names are written in Han or Hangul, the family's comes first and no space parts them.
    if _EAST_ASIAN.fullmatch(first) and _EAST_ASIAN.fullmatch(last):
        return last + first
    return f"{first} {last}"


def _initials(name: str) -> str:
    letters: list[str] = []
    for part in _PART.split(name):
        letter = _LETTER.search(part)
        if letter and not _EAST_ASIAN.match(letter.group()):
            letters.append(letter.group().upper())
    return "".join(letters)


NAMES: Final = Enricher("name", enrich)
