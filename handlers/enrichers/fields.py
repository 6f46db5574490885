"""The names by which each kind of field is known, best first; case, `-` and spaces do not count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

FIRST_NAME_FIELDS: Final = ("first_name", "firstname", "given_name")
LAST_NAME_FIELDS: Final = ("last_name", "lastname", "family_name", "surname")
FULL_NAME_FIELDS: Final = ("full_name", "fullname", "name")
AGE_FIELDS: Final = ("age",)
BIRTH_DATE_FIELDS: Final = (
    "birth_date",
    "birthdate",
    "date_of_birth",
    "dob",
    "birthday",
)
EMAIL_FIELDS: Final = ("email", "e_mail", "email_address", "mail")
PHONE_FIELDS: Final = (
    "phone",
    "phone_number",
    "mobile",
    "mobile_phone",
    "cell_phone",
    "telephone",
    "tel",
)
COUNTRY_FIELDS: Final = ("country", "country_code", "country_name", "nationality")


def first_given(record: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Any] | None:
    """(key, value) of the first of `names` that `record` has with a value, or None."""
    for name in names:  # spelled exactly so, which is nearly always
        value = record.get(name)
        if _given(value):
            return name, value
    keys = {spelled(key): key for key in reversed(list(record)) if isinstance(key, str)}
    for name in names:
        key = keys.get(name)
        if key is not None and _given(record[key]):
            return key, record[key]
    return None


@lru_cache(maxsize=4_096)
def spelled(key: str) -> str:
    """`First Name`, `first-name` and `firstName` are all `first_name`."""
    parts: list[str] = []
    for index, character in enumerate(key):
        if character.isupper() and index and key[index - 1].islower():
            parts.append("_")
        parts.append("_" if character in "- " else character.lower())
    return "".join(parts)


def _given(value: Any) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())
