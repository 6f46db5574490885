"""Transformations by name, and their arguments: `uppercase`, `multiply_1.1`, `replace_OLD_NEW`.

A spec is the name of a plain transformation, or a name, an underscore and its argument text, which
the transformation itself takes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, TypeVar

from handlers.fieldpaths import kind_of

Apply: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]
"""(value, the record that it is from) → the new value. Raises `Misfit`. Never mutates."""

R = TypeVar("R")

MAX_TEXT: Final = 1_000_000
"""Characters that a transformation may make of one value."""


class BadTransform(ValueError):
    """A spec that names no transformation, or whose argument cannot be read."""


class Misfit(ValueError):
    """A transformation that does not fit its value; the message never holds the value."""


@dataclass(frozen=True, slots=True)
class Step:
    """A spec made ready. `creates`: it can fill a field that is not there yet."""

    spec: str
    apply: Apply
    creates: bool = False


@dataclass(frozen=True, slots=True)
class _Parametric:
    usage: str
    make: Callable[[str], Apply]
    creates: Callable[[str], bool]


_PLAIN: Final[dict[str, Apply]] = {}
_WITH_ARGUMENT: Final[dict[str, _Parametric]] = {}


def plain(function: Callable[[Any], R]) -> Callable[[Any], R]:
    """Register `function(value)` under its own name."""
    _PLAIN[function.__name__] = lambda value, _record: function(value)
    return function


def in_record(function: Apply) -> Apply:
    """Register `function(value, record)` under its own name."""
    _PLAIN[function.__name__] = function
    return function


def text_only(function: Callable[[str], R]) -> Callable[[str], R]:
    """Register `function(text)` under its own name; any value but a string is a misfit."""
    plain_name = function.__name__
    _PLAIN[plain_name] = lambda value, _record: function(text_of(value, plain_name))
    return function


def with_argument(
    name: str, usage: str, *, creates: Callable[[str], bool] = lambda _argument: False
) -> Callable[[Callable[[str], Apply]], Callable[[str], Apply]]:
    """Register what makes an `Apply` of an argument text; `usage` shows the form, as `round_2`."""

    def register(make: Callable[[str], Apply]) -> Callable[[str], Apply]:
        _WITH_ARGUMENT[name] = _Parametric(usage, make, creates)
        return make

    return register


def text_of(value: Any, name: str) -> str:
    """`value`, which must be a string."""
    if isinstance(value, str):
        return value
    kind = kind_of(value)
    hint = '; put "to_string" before it' if kind in ("integer", "number", "boolean") else ""
    raise Misfit(f"{name} needs a string, this is of kind {kind}{hint}")


def transform_names() -> list[str]:
    """Every transformation, by name or by the form of its spec."""
    return sorted([*_PLAIN, *(kind.usage for kind in _WITH_ARGUMENT.values())])


def parse_step(spec: str) -> Step:
    """The step that `spec` asks for. Raises `BadTransform`, naming the nearest known one."""
    if spec in _PLAIN:
        return Step(spec, _PLAIN[spec])
    name, underscore, argument = spec.partition("_")
    if name not in _WITH_ARGUMENT:
        raise BadTransform(_unknown(spec))
    kind = _WITH_ARGUMENT[name]
    if not underscore:
        raise BadTransform(f"{name!r} needs an argument, as in {kind.usage!r}")
    try:
        return Step(spec, kind.make(argument), creates=kind.creates(argument))
    except BadTransform as error:
        raise BadTransform(f"{spec!r}: {error} (the form is {kind.usage!r})") from error


def _unknown(spec: str) -> str:
    head, underscore, argument = spec.casefold().partition("_")
    candidates = {name: name for name in _PLAIN}
    candidates |= {name: kind.usage for name, kind in _WITH_ARGUMENT.items()}
    if underscore:
        # With its argument kept, the suggestion is what was meant: multply_2 is multiply_2.
        nearest_name = get_close_matches(head, _WITH_ARGUMENT, n=1, cutoff=0)[0]
        meant = f"{nearest_name}_{argument}"
        candidates[meant] = meant
    nearest = get_close_matches(spec.casefold(), candidates, n=1, cutoff=0)[0]
    return f"unknown transformation {spec!r}; the nearest known one is {candidates[nearest]!r}"
