"""Transformations of telephone numbers and e-mail addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from email_validator import EmailNotValidError, validate_email

from handlers import phones
from handlers.transforms.registry import Misfit, in_record, text_of, text_only


@in_record
def normalize_phone(value: Any, record: Mapping[str, Any]) -> str:
    """E.164 where the country is known, by prefix or by the record's country; else bare digits."""
    text = text_of(str(value) if type(value) is int else value, "normalize_phone")
    number = phones.parse_phone(text)
    if number is None and phones.looks_national(text):
        region = phones.region_of(record)
        number = phones.parse_phone(text, region) if region else None
        if number is None:
            return "".join(character for character in text if character.isdigit())
    if number is None:
        raise Misfit("normalize_phone cannot read this as a phone number")
    return phones.e164(number)


@text_only
def normalize_email(text: str) -> str:
    """Trimmed, Unicode-normalised and in lower case."""
    try:
        checked = validate_email(text.strip(), check_deliverability=False)
    except EmailNotValidError as error:
        raise Misfit(f"normalize_email: not an e-mail address ({error})") from error
    return checked.normalized.lower()
