"""Telephone numbers, by Google's phone library: read with the country that the record names.

A number without a country prefix, in a record without a country, belongs nowhere in particular:
it may look like a number (`looks_national`), but no country is guessed for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from handlers.enrichers.countries import alpha2_of
from handlers.enrichers.fields import COUNTRY_FIELDS, first_given

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

LIBRARIES: Final = ("phonenumbers", "pycountry", "countryinfo")

_NATIONAL: Final = re.compile(r"\(?[0-9][0-9 ()./\-]*")


def parse_phone(text: str, region: str | None = None) -> PhoneNumber | None:
    """The number, or None where it is none: by its `+` or `00` prefix, else as one of `region`.

    `region` is an ISO alpha-2 code. Lengths must fit the country's plan; whether the number is
    assigned is another question (`phonenumbers.is_valid_number`).
    """
    import phonenumbers as lib

    text = text.strip()
    if text.startswith("00") and not text.startswith("000"):
        text = f"+{text[2:]}"
    try:
        number = lib.parse(text, region)
    except lib.NumberParseException:
        return None
    possible = lib.is_possible_number_with_reason(number) == lib.ValidationResult.IS_POSSIBLE
    return number if possible else None


def e164(number: PhoneNumber) -> str:
    """`+8613800138000`."""
    import phonenumbers as lib

    return str(lib.format_number(number, lib.PhoneNumberFormat.E164))


def looks_national(text: str) -> bool:
    """Whether it may be a number dialled inside some country: 7 to 15 digits and punctuation."""
    digits = sum(character.isdigit() for character in text)
    return 7 <= digits <= 15 and _NATIONAL.fullmatch(text.strip()) is not None


def region_of(record: Any) -> str | None:
    """The ISO alpha-2 code of the country that a record names in one of its country fields."""
    if not isinstance(record, Mapping):
        return None
    found = first_given(record, COUNTRY_FIELDS)
    return alpha2_of(found[1]) if found and isinstance(found[1], str) else None
