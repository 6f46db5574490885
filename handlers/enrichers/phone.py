"""What a telephone number tells: country, kind of line, the carrier its range was given to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from handlers import phones
from handlers.enrichers.base import Enricher, Warn
from handlers.enrichers.fields import PHONE_FIELDS, first_given


def enrich(record: Mapping[str, Any], _today: date, warn: Warn) -> dict[str, Any]:
    """`phone_e164`, `phone_valid`, `phone_country` (ISO alpha-2), `phone_country_code`,
    `phone_type`, `phone_carrier`, `phone_time_zones`; the last five where the number tells them."""
    given = first_given(record, PHONE_FIELDS)
    if given is None:
        return {}
    field, value = given
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    number = phones.parse_phone(text)
    if number is None and phones.looks_national(text):
        region = phones.region_of(record)
        if region is None:
            warn(field, "the country of this number is not known: it has no + and its country code")
            return {}
        number = phones.parse_phone(text, region)
    if number is None:
        warn(field, "not a phone number")
        return {}
    return _facts(number)


def _facts(number: Any) -> dict[str, Any]:
    import phonenumbers as lib
    from phonenumbers import carrier, timezone

    valid = lib.is_valid_number(number)
    region = lib.region_code_for_number(number) or lib.region_code_for_country_code(
        number.country_code
    )
    line = lib.PhoneNumberType.to_string(lib.number_type(number)).lower() if valid else ""
    zones = timezone.time_zones_for_number(number)
    facts = {
        "phone_e164": phones.e164(number),
        "phone_valid": valid,
        # "001" stands for numbers of no single country, "ZZ" for unknown.
        "phone_country": region if region.isalpha() and region != "ZZ" else None,
        "phone_country_code": number.country_code,
        "phone_type": line if line != "unknown" else None,
        "phone_carrier": carrier.name_for_number(number, "en"),
        "phone_time_zones": [zone for zone in zones if zone != "Etc/Unknown"],
    }
    return {key: value for key, value in facts.items() if value not in (None, "", [])}


PHONE: Final = Enricher("phone", enrich, ("phonenumbers",))
