"""Birth dates and ages, always by today's date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from handlers.enrichers.base import Enricher, Warn
from handlers.enrichers.fields import AGE_FIELDS, BIRTH_DATE_FIELDS, first_given

OLDEST: Final = 130
"""Years: nobody is known to have grown older than 122."""

AGE_CATEGORIES: Final = (
    (13, "child"),
    (18, "teenager"),
    (25, "young_adult"),
    (45, "adult"),
    (65, "middle_aged"),
    (OLDEST + 1, "senior"),
)
"""(age from which on it no longer applies, category)."""

GENERATIONS: Final = (
    (1901, "Lost Generation"),
    (1928, "Greatest Generation"),
    (1946, "Silent Generation"),
    (1965, "Baby Boomers"),
    (1981, "Generation X"),
    (1997, "Millennials"),
    (2013, "Generation Z"),
    (2025, "Generation Alpha"),
)
"""(first birth year after it, generation): Pew Research Center's bounds up to Generation Z, and
McCrindle's for the two after it."""
NEWEST_GENERATION: Final = "Generation Beta"

ZODIAC: Final = (
    ((1, 20), "Capricorn"),
    ((2, 19), "Aquarius"),
    ((3, 21), "Pisces"),
    ((4, 20), "Aries"),
    ((5, 21), "Taurus"),
    ((6, 21), "Gemini"),
    ((7, 23), "Cancer"),
    ((8, 23), "Leo"),
    ((9, 23), "Virgo"),
    ((10, 23), "Libra"),
    ((11, 22), "Scorpio"),
    ((12, 22), "Sagittarius"),
)
"""((month, day) from which on the next sign begins, sign)."""

_YEAR_FIRST: Final = re.compile(
    r"([0-9]{4})(?:[-/.]|年)([0-9]{1,2})(?:[-/.]|月)([0-9]{1,2})日?(?:[T ].*)?"
)
_WEEKDAYS: Final = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)


def enrich_birth_date(record: Mapping[str, Any], today: date, warn: Warn) -> dict[str, Any]:
    """`age`, the weekday of birth, the next birthday and the days until it, the zodiac sign."""
    born = _birth_date(record, today, warn)
    if born is None:
        return {}
    birthday = next_birthday(born, today)
    return {
        "age": age_on(born, today),
        "birth_weekday": _WEEKDAYS[born.weekday()],
        "next_birthday": birthday.isoformat(),
        "days_until_birthday": (birthday - today).days,
        "zodiac_sign": zodiac_sign(born),
    }


def enrich_age(record: Mapping[str, Any], today: date, warn: Warn) -> dict[str, Any]:
    """`age_category` and `generation`, by birth date if there is one, else by age."""
    born = _birth_date(record, today, lambda _field, _message: None)
    if born is not None:
        return {
            "age_category": age_category(age_on(born, today)),
            "generation": generation(born.year),
        }
    given = first_given(record, AGE_FIELDS)
    if given is None:
        return {}
    years = _years(given[1])
    if years is None:
        warn(given[0], f"an age must be a number from 0 to {OLDEST}")
        return {}
    found = {"age_category": age_category(years)}
    # Of an age alone, two birth years are possible: told only where both agree.
    generations = {generation(today.year - years), generation(today.year - years - 1)}
    if len(generations) == 1:
        found["generation"] = generations.pop()
    else:
        warn(given[0], "two generations are possible at this age: a birth date would tell")
    return found


def age_on(born: date, today: date) -> int:
    """Whole years; who was born on 29 February grows older on 1 March in common years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def age_category(years: int) -> str:
    return next(name for end, name in AGE_CATEGORIES if years < end)


def generation(birth_year: int) -> str:
    return next((name for end, name in GENERATIONS if birth_year < end), NEWEST_GENERATION)


def next_birthday(born: date, today: date) -> date:
    """Today, if it is one."""
    birthday = _birthday_in(today.year, born)
    return birthday if birthday >= today else _birthday_in(today.year + 1, born)


def zodiac_sign(born: date) -> str:
    day = (born.month, born.day)
    return next((sign for end, sign in ZODIAC if day < end), ZODIAC[0][1])


def _birthday_in(year: int, born: date) -> date:
    try:
        return born.replace(year=year)
    except ValueError:  # 29 February
        return date(year, 3, 1)


def _birth_date(record: Mapping[str, Any], today: date, warn: Warn) -> date | None:
    given = first_given(record, BIRTH_DATE_FIELDS)
    if given is None:
        return None
    field, value = given
    born = parse_date(value) if isinstance(value, str) else None
    if born is None:
        warn(field, "not a date that begins with its year, as 1990-05-17")
    elif born > today:
        warn(field, "a birth date in the future")
    elif age_on(born, today) > OLDEST:
        warn(field, f"a birth date more than {OLDEST} years ago")
    else:
        return born
    return None


def parse_date(text: str) -> date | None:
    """Dates that read in one way only, the year first: 1990-05-17, 1990/5/17, 1990年5月17日."""
    match = _YEAR_FIRST.fullmatch(text.strip())
    try:
        if match:
            return date(int(match[1]), int(match[2]), int(match[3]))
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


def _years(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,3}\s*", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < OLDEST + 1 else None


BIRTH_DATE: Final = Enricher("birth_date", enrich_birth_date)
AGE: Final = Enricher("age", enrich_age)
