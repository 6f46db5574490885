"""Each transformation by name: what it makes of a value, and which values it does not fit."""

from __future__ import annotations

import time
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from handlers.transformation import transform_payload
from handlers.transforms.text import clusters


def made(value: Any, *specs: str, **others: Any) -> Any:
    result, errors, _ = transform_payload({"field": value, **others}, {"field": list(specs)})
    assert errors == []
    return result["field"]


FAMILY = "👨‍👩‍👧"
FLAG = "🇩🇪"
E_ACUTE = "e\u0301"


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("uppercase", "straße ıi", "STRASSE II"),
        ("uppercase", "中文", "中文"),
        ("lowercase", "İSTANBUL ÀÉ ΣΑΣ", "istanbul àé σας"),
        ("strip", "\u3000 a b\t\n", "a b"),
        ("title_case", "don't stop o'neil", "Don't Stop O'neil"),
        ("title_case", "élan VITAL l’été", "Élan Vital L’été"),
        ("title_case", "jean-luc  PICARD 3rd", "Jean-Luc  Picard 3rd"),
        ("title_case", "İZMİR ΑΣ", "İzmir Ας"),
        ("title_case", f"{E_ACUTE}cole 中文", "E\u0301cole 中文"),
        ("title_case", "ǆungla", "ǅungla"),
        ("capitalize", "hELLO wORLD", "Hello world"),
        ("capitalize", "", ""),
        ("remove_spaces", " a\u00a0b\u3000c\td ", "abcd"),
        ("remove_special_chars", "a-b_c! 中文，é 1²", "abc 中文é 1²"),
        (
            "remove_special_chars",
            f"{E_ACUTE}#{FAMILY}👍🏽{FLAG}❤️©",
            f"{E_ACUTE}{FAMILY}👍🏽{FLAG}❤️",
        ),
        ("remove_special_chars", "हिन्दी!", "हिन्दी"),
        ("extract_numbers", "Room 12-B, floor 3", "123"),
        ("extract_numbers", "none", ""),
        ("extract_letters", f"a1 b2-{E_ACUTE} 中3文", f"ab{E_ACUTE}中文"),
        ("reverse", f"a{E_ACUTE}{FAMILY}{FLAG}z", f"z{FLAG}{FAMILY}{E_ACUTE}a"),
        ("reverse", "中文", "文中"),
        ("generate_slug", "Hello, World!", "hello-world"),
        ("generate_slug", "你好 世界", "你好-世界"),
        ("generate_slug", "Crème Brûlée -- Don't", "crème-brûlée-dont"),
        ("generate_slug", "İstanbul ＡＢＣ", "istanbul-abc"),
        ("generate_slug", "हिन्दी भाषा", "हिन्दी-भाषा"),
        ("substring_0_5", "abcdefgh", "abcde"),
        ("substring_2", "abcdefgh", "cdefgh"),
        ("substring_-3_-1", "abcdefgh", "fg"),
        ("substring_5_99", "abc", ""),
        ("substring_0_2", f"{FAMILY}{FLAG}x", f"{FAMILY}{FLAG}"),
        ("replace_a_b", "banana", "bbnbnb"),
        ("replace_-_", "1-2-3", "123"),
        ("replace_a_b_c", "a", "b_c"),
        ("replace___-", "a_b_c", "a-b-c"),
        ("replace_中_国", "中文", "国文"),
        ("normalize_email", "  Ada.LOVELACE@Example.COM ", "ada.lovelace@example.com"),
    ],
)
def test_of_text(spec: str, text: str, expected: str) -> None:
    assert made(text, spec) == expected


@given(st.lists(st.sampled_from(["a", "中", E_ACUTE, FAMILY, "👍🏽", "ß", "İ"])))
def test_to_reverse_twice_is_to_do_nothing(characters: list[str]) -> None:
    text = "".join(characters)
    assert made(text, "reverse") == "".join(reversed(characters))
    assert made(text, "reverse", "reverse") == text


CLUSTER_PARTS = [
    *("a", "🇩", "🇪", "\u0301", "\u200d", "👩", "🏽"),
    *("\u0903", "\r", "\n", "\u0600", "한", "\ufe0f"),
]


@given(st.lists(st.sampled_from(CLUSTER_PARTS), max_size=12))
def test_characters_are_unicode_s_grapheme_clusters(parts: list[str]) -> None:
    text = "".join(parts)
    assert clusters(text) == regex.findall(r"\X", text)


@pytest.mark.parametrize("part", ["🇩", "👨\u200d", "e\u0301", "a'", "1,", "1 ", " ", "\u0301"])
@pytest.mark.parametrize(
    "spec", ["reverse", "remove_special_chars", "title_case", "generate_slug", "to_number"]
)
def test_no_text_takes_long(spec: str, part: str) -> None:
    began = time.process_time()
    transform_payload({"field": "x" + part * 100_000 + "x"}, {"field": spec})
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("75000", 75000),
        (" -7 ", -7),
        ("+5", 5),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567),
        ("75000.0", 75000.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        (5, 5),
        (2.5, 2.5),
    ],
)
def test_to_number(value: Any, expected: float) -> None:
    result = made(value, "to_number")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "specs", "expected"),
    [
        (0.1, ["multiply_3"], 0.3),
        (75000, ["multiply_1.1"], 82500.0),
        (10, ["multiply_2"], 20),
        (1, ["divide_3"], 0.3333333333333333),
        (10, ["divide_2"], 5),
        (0.3, ["subtract_0.1"], 0.2),
        (0.1, ["add_0.2"], 0.3),
        (5, ["add_-7"], -2),
        (2.675, ["round_2"], 2.68),
        (2.5, ["round_0"], 3),
        (-2.5, ["round_0"], -3),
        (1250, ["round_-2"], 1300),
        (1e300, ["round_2"], 1e300),
        (7, ["round_2"], 7),
        ("1,234.567", ["to_number", "round_1"], 1234.6),
        (2**63, ["multiply_4"], 2.0**65),
    ],
)
def test_arithmetic_is_decimal(value: Any, specs: list[str], expected: float) -> None:
    result = made(value, *specs)
    assert result == expected
    assert repr(result) == repr(expected)


@pytest.mark.parametrize("value", ["yes", "TRUE", " 1 ", "on", "Y", "是", 1, 1.0, True])
def test_true_in_many_words(value: Any) -> None:
    assert made(value, "to_boolean") is True


@pytest.mark.parametrize("value", ["no", "False", "0", "off", "n", "否", 0, False])
def test_false_in_many_words(value: Any) -> None:
    assert made(value, "to_boolean") is False


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", "a"), (5, "5"), (2.5, "2.5"), (True, "true"), (["é", 1], '["é", 1]'), ({}, "{}")],
)
def test_to_string_writes_as_json_does(value: Any, expected: str) -> None:
    assert made(value, "to_string") == expected


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        ("Ada", "format_Dear {}", "Dear Ada"),
        ("Ada", "format_{value}: {age} ({})", "Ada: 36 (Ada)"),
        (1234.5, "format_€{value:,.2f}", "€1,234.50"),
        (7, "format_{:03d}", "007"),
        (0.256, "format_{:.1%}", "25.6%"),
        ("x", "format_{{{}}}_y", "{x}_y"),
        (True, "format_{}", "true"),
    ],
)
def test_format(value: Any, spec: str, expected: str) -> None:
    assert made(value, spec, age=36) == expected


def test_a_null_field_leaves_its_hole_empty() -> None:
    assert made("Ada", "format_{} ({title})", title=None) == "Ada ()"


@pytest.mark.parametrize(
    "template",
    [
        "{value.__class__}",
        "{value.__class__.__mro__}",
        "{value[0]}",
        "{field.__init__.__globals__}",
        "{value!r}",
        "{value:>1000000000}",
        "{value:{age}}",
        "{",
        "}",
        "{unknown}",
    ],
)
def test_format_looks_into_nothing_and_pads_to_no_width(template: str) -> None:
    result, errors, _ = transform_payload(
        {"field": "Ada", "age": 99}, {"field": f"format_{template}"}
    )

    assert [error.field for error in errors] == ["field"]
    assert result is None


@pytest.mark.parametrize(
    ("value", "others", "expected"),
    [
        ("+86 138-0013-8000", {}, "+8613800138000"),
        ("0049 (30) 901820", {}, "+4930901820"),
        ("138 0013 8000", {"country": "中国"}, "+8613800138000"),
        ("(415) 555-0123", {"country": "USA"}, "+14155550123"),
        ("030 901820", {"country_code": "de"}, "+4930901820"),
        (13800138000, {"country": "CN"}, "+8613800138000"),
        ("138-0013-8000", {}, "13800138000"),
        ("138-0013-8000", {"country": "Atlantis"}, "13800138000"),
    ],
)
def test_normalize_phone_guesses_no_country(
    value: Any, others: dict[str, Any], expected: str
) -> None:
    assert made(value, "normalize_phone", **others) == expected


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        (5, "uppercase"),
        (["a"], "strip"),
        (True, "generate_slug"),
        ("!!!", "generate_slug"),
        ("", "generate_slug"),
        ("abc", "to_number"),
        ("", "to_number"),
        ("nan", "to_number"),
        ("inf", "to_number"),
        ("1_000", "to_number"),
        ("1e999", "to_number"),
        ("12,34", "to_number"),
        ("9" * 25, "to_number"),
        ("9" * 5000, "to_number"),
        (True, "to_number"),
        ([], "to_number"),
        ("maybe", "to_boolean"),
        (2, "to_boolean"),
        ("5", "add_1"),
        (True, "add_1"),
        (1e308, "multiply_10"),
        ({}, "round_1"),
        ("hello", "normalize_phone"),
        ("hello", "normalize_email"),
        ("text", "format_{value:.2f}"),
        (5, "substring_0_1"),
        (5, "replace_a_b"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_keeps_it_to_itself(
    value: Any, spec: str
) -> None:
    _, errors, _ = transform_payload({"field": value}, {"field": spec})

    assert [(error.field, error.rule) for error in errors] == [("field", spec)]
    assert not (isinstance(value, str) and len(value) > 3 and value in errors[0].error)


@pytest.mark.parametrize(
    "specs", [["format_{}{}"] * 40, ["replace_a_" + "a" * 1_000] * 5, ["format_" + "{}" * 2_000]]
)
def test_text_cannot_be_made_to_grow_without_bound(specs: list[str]) -> None:
    _, errors, _ = transform_payload({"field": "a" * 1_000}, {"field": specs})

    assert "1,000,000 characters" in errors[0].error
