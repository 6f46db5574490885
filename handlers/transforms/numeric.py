"""Transformations to and of numbers, in decimal arithmetic: 0.1 times 3 is 0.3."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from typing import Any, Final

from handlers.fieldpaths import kind_of
from handlers.transforms.registry import Apply, BadTransform, Misfit, plain, with_argument

_ARITHMETIC: Final = Context(prec=60)
_ROUNDING: Final = Context(prec=400, rounding=ROUND_HALF_UP)
"""A float has up to 309 digits before the point."""
_NUMBER: Final = re.compile(
    r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+|(?=\.[0-9]))(?P<rest>(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)"
)
_TRUE: Final = frozenset({"true", "yes", "y", "t", "1", "on", "是"})
_FALSE: Final = frozenset({"false", "no", "n", "f", "0", "off", "否"})
_MOST_DIGITS: Final = 20
"""Places that round_N may name, on either side of the point."""


@plain
def to_number(value: Any) -> int | float:
    """An integer where the text is one, else a float; commas may group thousands."""
    if _is_number(value):
        return _checked(value)
    if not isinstance(value, str):
        raise Misfit(f"to_number needs a number or its text, this is of kind {kind_of(value)}")
    match = _NUMBER.fullmatch(value.strip())
    if match is None:
        raise Misfit("to_number cannot read this text as a number")
    digits = match.group().replace(",", "")
    if match["rest"] or len(digits) > 30:
        return _checked(float(digits))
    number = int(digits)
    if not _fits_json(number):
        raise Misfit("to_number: the number has more digits than can be kept")
    return number


@plain
def to_string(value: Any) -> str:
    """Text as it is, everything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@plain
def to_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if _is_number(value) and value in (0, 1):
        return bool(value)
    word = value.strip().casefold() if isinstance(value, str) else None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Misfit("to_boolean knows yes/no, true/false, 1/0, on/off and 是/否, not this value")


def _arithmetic(name: str, usage: str, operate: Callable[[Decimal, Decimal], Decimal]) -> None:
    @with_argument(name, usage)
    def make(argument: str) -> Apply:
        operand = _operand(argument)
        if name == "divide" and operand == 0:
            raise BadTransform("nothing can be divided by 0")

        def apply(value: Any, _record: Mapping[str, Any]) -> int | float:
            number = _decimal(value, name)
            try:
                result = operate(number, operand)
            except DecimalException as error:
                raise Misfit(f"{name}: the result cannot be told") from error
            whole = isinstance(value, int) and operand == operand.to_integral_value()
            return _plain_number(result, name, whole=whole)

        return apply


_arithmetic("multiply", "multiply_1.1", _ARITHMETIC.multiply)
_arithmetic("divide", "divide_2", _ARITHMETIC.divide)
_arithmetic("add", "add_10", _ARITHMETIC.add)
_arithmetic("subtract", "subtract_10", _ARITHMETIC.subtract)


@with_argument("round", "round_2")
def round_to(argument: str) -> Apply:
    """To N places, halves away from zero; `round_0` makes a whole number, `round_-2` hundreds."""
    try:
        places = int(argument)
    except ValueError as error:
        raise BadTransform("it needs a whole number of places") from error
    if abs(places) > _MOST_DIGITS:
        raise BadTransform(f"it takes at most {_MOST_DIGITS} places")
    unit = Decimal(1).scaleb(-places)

    def apply(value: Any, _record: Mapping[str, Any]) -> int | float:
        rounded = _decimal(value, "round").quantize(unit, context=_ROUNDING)
        whole = isinstance(value, int) or places <= 0
        return _plain_number(rounded, "round", whole=whole)

    return apply


def _operand(argument: str) -> Decimal:
    match = _NUMBER.fullmatch(argument)
    if match is None or "," in argument or len(argument) > 40:
        raise BadTransform("it needs a number")
    number = Decimal(argument)
    if abs(number.adjusted()) > 308:
        raise BadTransform("its number is out of range")
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits_json(number: int) -> bool:
    # What fits neither a signed nor an unsigned 64-bit integer, common JSON readers refuse.
    return -(2**63) <= number < 2**64


def _decimal(value: Any, name: str) -> Decimal:
    if not _is_number(value):
        hint = '; put "to_number" before it' if isinstance(value, str) else ""
        raise Misfit(f"{name} needs a number, this is of kind {kind_of(value)}{hint}")
    # repr is the shortest text that means this float: the number as its sender wrote it.
    return Decimal(value) if isinstance(value, int) else Decimal(repr(_checked(value)))


def _plain_number(result: Decimal, name: str, *, whole: bool) -> int | float:
    if whole and result == result.to_integral_value() and result.adjusted() < 20:
        number = int(result)
        if _fits_json(number):
            return number
    as_float = float(result)
    if not math.isfinite(as_float):
        raise Misfit(f"{name}: the result is too large")
    return as_float


def _checked(value: int | float) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise Misfit("infinite and undefined numbers are not taken")
    return value
