"""Countries by any usual name, and what is known about them.

Names: ISO 3166 codes and names (pycountry), English and Chinese names and old codes (CLDR, by
babel), native and alternative names and demonyms (countryinfo). Facts: ISO codes by pycountry;
currency, languages and time zones by CLDR; continents by countryinfo.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

SOURCES: Final = ("pycountry", "babel", "countryinfo")
_NAME_LOCALES: Final = ("en", "zh", "zh_Hant")
_NOISE: Final = re.compile(r"[.,'’()]")


@dataclass(frozen=True, slots=True)
class Country:
    """Facts about one country; codes by ISO 3166, 4217 and 639, zones by IANA."""

    alpha2: str
    alpha3: str
    name: str
    continent: str | None
    currency: str | None
    time_zones: tuple[str, ...]
    languages: tuple[str, ...]


@lru_cache(maxsize=4_096)
def alpha2_of(text: str) -> str | None:
    """The ISO alpha-2 code of the country called `text`, or None where no such is known."""
    return _index().get(_key(text))


@cache
def country(alpha2: str) -> Country:
    """The facts about the country with this ISO alpha-2 code. KeyError where there is none."""
    import pycountry
    from babel.core import get_global
    from babel.languages import get_official_languages
    from babel.numbers import get_territory_currencies

    entry = pycountry.countries.get(alpha_2=alpha2)
    if entry is None:
        raise KeyError(alpha2)
    currencies = get_territory_currencies(alpha2)
    zones = tuple(sorted(get_global("territory_zones").get(alpha2, ())))
    return Country(
        alpha2=alpha2,
        alpha3=entry.alpha_3,
        name=_english()[alpha2],
        continent=_continent(alpha2, zones),
        currency=currencies[0] if currencies else None,
        time_zones=zones,
        # Some countries (the United States, China, …) have official languages in fact alone.
        languages=get_official_languages(alpha2) or get_official_languages(alpha2, de_facto=True),
    )


def _continent(alpha2: str, zones: tuple[str, ...]) -> str | None:
    facts = _atlas().get(alpha2, {})
    region = facts.get("region")
    if region == "Americas":
        # countryinfo follows the UN's regions; on maps Central America and the Caribbean are north.
        south = "South America" in (facts.get("intermediateregion"), facts.get("subregion"))
        return "South America" if south else "North America"
    if region:
        return str(region)
    return "Antarctica" if any(zone.startswith("Antarctica/") for zone in zones) else None


@cache
def _index() -> dict[str, str]:
    """Codes by the `_key` of a name; of two countries with one name, the more official has it."""
    index: dict[str, str] = {}
    for name, code in _names():
        index.setdefault(_key(name), code)
    index.pop("", None)
    return index


def _names() -> Iterator[tuple[str, str]]:
    """(name, alpha-2), the most official names first."""
    import pycountry
    from babel import Locale
    from babel.core import get_global

    entries = {entry.alpha_2: entry for entry in pycountry.countries}
    for field in ("alpha_2", "alpha_3", "numeric", "name", "common_name", "official_name"):
        for code, entry in entries.items():
            yield getattr(entry, field, ""), code
    for locale in _NAME_LOCALES:
        for code, name in Locale.parse(locale).territories.items():
            if code in entries:
                yield name, code
    for old, new in get_global("territory_aliases").items():
        if len(new) == 1 and new[0] in entries:
            yield old, new[0]
    # Some territories share a demonym with the country they belong to: the largest one has it.
    for code in sorted(entries, key=lambda code: -(_atlas().get(code, {}).get("population") or 0)):
        for name in _other_names(code):
            yield name, code


def _other_names(alpha2: str) -> list[str]:
    facts = _atlas().get(alpha2, {})
    names = [facts.get("name"), facts.get("nativeName")]
    # Two letters are a code, and codes are ISO's business, not an alternative spelling's.
    names += [name for name in facts.get("altSpellings", ()) if len(name) > 2 or not name.isascii()]
    names.append(facts.get("demonym"))
    return [name for name in names if name]


@cache
def _english() -> dict[str, str]:
    """The names that people use: CLDR's, in English."""
    from babel import Locale

    return dict(Locale.parse("en").territories)


@cache
def _atlas() -> dict[str, dict[str, Any]]:
    """countryinfo's raw facts by alpha-2: its own look-up guesses at what it does not know."""
    from countryinfo import CountryInfo

    atlas: dict[str, dict[str, Any]] = {}
    for info in CountryInfo.all().values():
        facts: dict[str, Any] = {**info}
        code = facts.get("ISO", {}).get("alpha2")
        if code:
            atlas.setdefault(code, facts)
    return atlas


def _key(name: str) -> str:
    """What two spellings of a name have in common: no marks, case, dots or leading "the"."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    plain = _NOISE.sub("", plain.replace("&", " and ").replace("-", " "))
    return " ".join(plain.split()).removeprefix("the ")
