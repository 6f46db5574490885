"""What each validation rule demands, as pure checks on one value.

A check gives None where the value passes, else what is wrong, in words that never hold the value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import re2
from email_validator import EmailNotValidError, validate_email
from stepline.contract import ValidationRule

from handlers import phones
from handlers.fieldpaths import kind_of

Check: TypeAlias = Callable[[Any, Any], str | None]
"""(value, the record that it is from) → what is wrong, or None."""

PATTERN_MEMORY: Final = 1 << 20
"""Bytes that one compiled user pattern may take: RE2's time is linear, this bounds its space."""
URL_SCHEMES: Final = frozenset({"http", "https", "ftp"})


@dataclass(frozen=True, slots=True)
class NamedCheck:
    """A check and the rule it stands for. `measures`: it needs a value of the right kind."""

    rule: str
    check: Check
    measures: bool = True


class BadPattern(ValueError):
    """A pattern that RE2 does not take; the message says why."""


def checks_of(rule: ValidationRule) -> list[NamedCheck]:
    """The checks that a rule asks for, type first. Raises `BadPattern`."""
    checks: list[NamedCheck] = []
    if rule.type is not None:
        checks.append(NamedCheck("type", _TYPES[rule.type], measures=False))
    for name, make in _BOUNDS.items():
        bound = getattr(rule, name)
        if bound is not None:
            checks.append(NamedCheck(name, make(bound)))
    if rule.pattern is not None:
        checks.append(NamedCheck("pattern", pattern_check(rule.pattern)))
    if rule.enum is not None:
        checks.append(NamedCheck("enum", _enum_check(rule.enum), measures=False))
    return checks


def is_number(value: Any) -> bool:
    """An integer or a finite float; JSON's true and false are no numbers."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def pattern_check(pattern: str) -> Check:
    """Whether `pattern` (RE2 syntax) is found anywhere in the text; anchor it to match it all."""
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(error)
        raise BadPattern(f"the pattern is invalid: {text}") from error

    def check(value: Any, _record: Any) -> str | None:
        if not isinstance(value, str):
            return f"pattern needs a string, this is {_a(kind_of(value))}"
        try:
            found = compiled.search(value) is not None
        except UnicodeEncodeError:  # half a surrogate pair is no text that a pattern could match
            found = False
        return None if found else f"does not match the pattern {pattern!r}"

    return check


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _must_be(kind: str, test: Callable[[Any], bool]) -> Check:
    return lambda value, _record: None if test(value) else f"must be {kind}"


def _integer(value: Any) -> bool:
    return is_number(value) and (isinstance(value, int) or value.is_integer())


def _email(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        validate_email(value, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def _phone(value: Any, record: Any) -> str | None:
    if isinstance(value, str):
        if phones.parse_phone(value) is not None:
            return None
        if phones.looks_national(value):
            region = phones.region_of(record)
            if region is None or phones.parse_phone(value, region) is not None:
                return None
            return f"must be a phone number of {region}, or begin with + and its country's code"
    return "must be a phone number"


def _url(value: Any) -> bool:
    if not isinstance(value, str) or re.search(r"[\s\x00-\x1f\x7f\\<>\"{}|^`]", value):
        return False
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it is the check: it raises for a port that is none
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return False
    if parts.scheme not in URL_SCHEMES or not host:
        return False
    return ":" in host or all(_LABEL.fullmatch(label) for label in host.split("."))


_LABEL: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")


def _date(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    day, separator, moment = value.replace(" ", "T", 1).partition("T")
    try:
        date.fromisoformat(day)
        if separator:
            time.fromisoformat(moment)
    except ValueError:
        return False
    return not moment.startswith("T")


_TYPES: Final[Mapping[str, Check]] = {
    "string": _must_be("a string", lambda value: isinstance(value, str)),
    "number": _must_be("a number", is_number),
    "integer": _must_be("an integer", _integer),
    "boolean": _must_be("true or false", lambda value: isinstance(value, bool)),
    "email": _must_be("an e-mail address", _email),
    "phone": _phone,
    "url": _must_be("a URL (http, https or ftp) with a host", _url),
    "date": _must_be("an ISO 8601 date or date and time", _date),
    "array": _must_be("an array", lambda value: isinstance(value, list)),
    "object": _must_be("an object", lambda value: isinstance(value, Mapping)),
}


def _length_check(name: str, fits: Callable[[int], bool], limit: str) -> Check:
    def check(value: Any, _record: Any) -> str | None:
        if not isinstance(value, str | list | Mapping):
            return f"{name} needs a string, an array or an object, this is {_a(kind_of(value))}"
        if fits(len(value)):
            return None
        unit = "characters" if isinstance(value, str) else "items"
        return f"must have {limit} {unit}, has {len(value)}"

    return check


def _value_check(name: str, fits: Callable[[Any], bool], limit: str) -> Check:
    def check(value: Any, _record: Any) -> str | None:
        if not is_number(value):
            return f"{name} needs a number, this is {_a(kind_of(value))}"
        return None if fits(value) else f"must be {limit}"

    return check


_BOUNDS: Final[Mapping[str, Callable[[Any], Check]]] = {
    "min_length": lambda n: _length_check("min_length", lambda size: size >= n, f"at least {n}"),
    "max_length": lambda n: _length_check("max_length", lambda size: size <= n, f"at most {n}"),
    "min_value": lambda n: _value_check("min_value", lambda value: value >= n, f"at least {n}"),
    "max_value": lambda n: _value_check("max_value", lambda value: value <= n, f"at most {n}"),
}


def _enum_check(allowed: list[Any]) -> Check:
    # Scalars by look-up: long lists of choices meet long lists of records.
    texts = frozenset(choice for choice in allowed if isinstance(choice, str))
    numbers = frozenset(choice for choice in allowed if is_number(choice))
    choices = ", ".join(repr(choice) for choice in allowed[:20])
    more = f" and {len(allowed) - 20} more" if len(allowed) > 20 else ""

    def check(value: Any, _record: Any) -> str | None:
        if isinstance(value, str):
            fits = value in texts
        elif is_number(value):
            fits = value in numbers
        else:
            fits = any(same_json(value, choice) for choice in allowed)
        return None if fits else f"must be one of {choices}{more}"

    return check


def same_json(one: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    return bool(one == other)
