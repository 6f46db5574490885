"""What the country that a record names implies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from handlers.enrichers import countries
from handlers.enrichers.base import Enricher, Warn
from handlers.enrichers.fields import COUNTRY_FIELDS, first_given


def enrich(record: Mapping[str, Any], _today: date, warn: Warn) -> dict[str, Any]:
    """`country_name` (English), `country_alpha2`, `country_alpha3`, `continent`, `currency`
    (ISO 4217), `time_zones` (IANA), `languages` (official ones, by code)."""
    given = first_given(record, COUNTRY_FIELDS)
    if given is None:
        return {}
    field, value = given
    code = countries.alpha2_of(value) if isinstance(value, str) else None
    if code is None:
        warn(field, "no country is known by this name or code")
        return {}
    found = countries.country(code)
    facts = {
        "country_name": found.name,
        "country_alpha2": found.alpha2,
        "country_alpha3": found.alpha3,
        "continent": found.continent,
        "currency": found.currency,
        "time_zones": list(found.time_zones),
        "languages": list(found.languages),
    }
    return {key: fact for key, fact in facts.items() if fact}


COUNTRY: Final = Enricher("country", enrich, countries.SOURCES)
