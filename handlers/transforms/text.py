"""Transformations of text, by what readers see as characters (grapheme clusters)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import regex

from handlers.transforms.registry import (
    MAX_TEXT,
    Apply,
    BadTransform,
    Misfit,
    text_of,
    text_only,
    with_argument,
)

_CLUSTER: Final = regex.compile(
    # Flags apart: of a long run of them, \X counts all before each, which takes minutes.
    r"\p{GCB=Regional_Indicator}{2}[\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]*+|\X"
)
_WORD: Final = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}'’]*")
_NOT_LETTER: Final = regex.compile(r"[^\p{L}\p{M}]+")
_NOT_DIGIT: Final = regex.compile(r"\P{Nd}+")
_KEPT: Final = regex.compile(r"[\p{L}\p{M}\p{N}\s]|\p{Emoji_Presentation}|\p{Emoji}\uFE0F")
_SPACE: Final = regex.compile(r"\s+")
_NOT_IN_SLUG: Final = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_APOSTROPHE: Final = regex.compile(r"(?<=\p{L})['’](?=\p{L})")


def lower(text: str) -> str:
    """Lower case that keeps lengths: İ becomes i (Unicode's simple mapping), not i and a dot."""
    return text.replace("İ", "i").lower()


def clusters(text: str) -> list[str]:
    """The text's characters as readers see them: é, 🇩🇪 and 👨‍👩‍👧 are one each."""
    if text.isascii() and "\r" not in text:
        return list(text)
    return list(_CLUSTER.findall(text))


@text_only
def uppercase(text: str) -> str:
    return text.upper()


@text_only
def lowercase(text: str) -> str:
    return lower(text)


@text_only
def strip(text: str) -> str:
    return text.strip()


@text_only
def title_case(text: str) -> str:
    """Each word begins with a capital; an apostrophe does not end a word."""
    return str(_WORD.sub(lambda match: _capital(match.group()), text))


@text_only
def capitalize(text: str) -> str:
    return _capital(text)


def _capital(word: str) -> str:
    # Lowered as a whole first: a final sigma is known only by the letters before it.
    return word[:1].title() + lower(word)[1:]


@text_only
def remove_spaces(text: str) -> str:
    return str(_SPACE.sub("", text))


@text_only
def remove_special_chars(text: str) -> str:
    """Keeps letters and their marks, digits, white space and emoji."""
    return "".join(cluster for cluster in clusters(text) if _KEPT.match(cluster))


@text_only
def extract_numbers(text: str) -> str:
    """The digits, in order, as a string: "Room 12-B, floor 3" gives "123"."""
    return str(_NOT_DIGIT.sub("", text))


@text_only
def extract_letters(text: str) -> str:
    """The letters and their marks, in order."""
    return str(_NOT_LETTER.sub("", text))


@text_only
def reverse(text: str) -> str:
    return "".join(reversed(clusters(text)))


@text_only
def generate_slug(text: str) -> str:
    """Lower-case letters and digits of any script, joined by hyphens.

    Not python-slugify: it drops vowel signs (हिन्दी becomes ह-न-द) and splits "don't" in two.
    """
    words = _APOSTROPHE.sub("", lower(unicodedata.normalize("NFKC", text)))
    slug = str(_NOT_IN_SLUG.sub("-", words)).strip("-")
    if not slug:
        raise Misfit("generate_slug finds no letter or digit in it")
    return slug


@with_argument("substring", "substring_0_5")
def substring(argument: str) -> Apply:
    """Characters A up to B (not included); B may be left out, negative ones count from the end."""
    start, separator, end = argument.partition("_")
    try:
        part = slice(int(start), int(end) if separator else None)
    except ValueError as error:
        raise BadTransform("its bounds must be whole numbers") from error

    def apply(value: Any, _record: Mapping[str, Any]) -> str:
        return "".join(clusters(text_of(value, "substring"))[part])

    return apply


@with_argument("replace", "replace_OLD_NEW")
def replace(argument: str) -> Apply:
    """Every OLD becomes NEW (which may be empty). `replace___-` replaces the underscore itself."""
    if argument.startswith("__"):
        old, separator, new = "_", "_", argument[2:]
    else:
        old, separator, new = argument.partition("_")
    if not old or not separator:
        raise BadTransform("it needs what to replace, an underscore, and the replacement")

    def apply(value: Any, _record: Mapping[str, Any]) -> str:
        text = text_of(value, "replace")
        if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
            raise Misfit(f"replace would make more than {MAX_TEXT:,} characters of it")
        return text.replace(old, new)

    return apply
