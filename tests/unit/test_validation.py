"""What the validation handler accepts and refuses, and how it tells."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepline.contract import ChainItem, ValidationRule
from stepline.errors import Reject

from handlers.validation import validate_payload, validation
from tests.unit.fakes import FakeContext


def item(payload: Any, **data: Any) -> ChainItem:
    return ChainItem.model_validate(
        {"request_type": "data_validation", "data": {"payload": payload, **data}}
    )


def violations(value: Any, **rule: Any) -> list[str]:
    """The rules that `value` breaks."""
    return [
        error.rule or ""
        for error in validate_payload({"field": value}, (), {"field": ValidationRule(**rule)})
    ]


GOOD = {
    "string": ["", "text", "中文"],
    "number": [0, -1, 2.5, 10**30],
    "integer": [0, -7, 3.0],
    "boolean": [True, False],
    "email": ["ada@example.com", "用户@例子.广告", "a.b+c@mail.example.org"],
    "phone": ["+86 138 0013 8000", "+14155550123", "0086-13800138000", "138-0013-8000"],
    "url": ["https://example.com/a?b=c#d", "http://localhost:80", "https://例子.中国/", "http://[::1]/"],
    "date": ["2026-11-24", "2026-11-24T10:00:00Z", "2026-11-24 10:00+08:00", "20261124"],
    "array": [[], [1]],
    "object": [{}, {"a": 1}],
}  # fmt: skip
BAD = {
    "string": [1, True, [], {}],
    "number": ["1", True, False, [], float("nan"), float("inf")],
    "integer": [1.5, "1", True],
    "boolean": [0, 1, "true"],
    "email": ["ada", "ada@", "@example.com", "a b@example.com", "ada@example", 5],
    "phone": ["", "12345", "not a phone", "+86", "+999123456789", 13800138000, True],
    "url": ["example.com", "https://", "javascript:a(1)", "http://a b.com", "http://x:99999/", "http://a..b"],
    "date": ["24.11.2026", "2026-13-01", "2026-02-29", "2026-11-24x10:00", "2026", "", 20261124],
    "array": [{}, "[]", 0],
    "object": [[], "{}", 0],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, values in GOOD.items() for v in values])
def test_a_value_of_its_type_passes(kind: str, value: Any) -> None:
    assert violations(value, type=kind) == []


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, values in BAD.items() for v in values])
def test_a_value_of_another_type_is_a_violation(kind: str, value: Any) -> None:
    assert violations(value, type=kind) == ["type"]


@pytest.mark.parametrize(
    ("value", "rule", "broken"),
    [
        (-1, {"min_value": 0}, ["min_value"]),
        (0, {"min_value": 0}, []),
        (0, {"max_value": 0}, []),
        (0.1, {"max_value": 0}, ["max_value"]),
        ("", {"min_length": 1}, ["min_length"]),
        ("", {"max_length": 0}, []),
        ("中文", {"max_length": 2}, []),
        ([1, 2, 3], {"max_length": 2}, ["max_length"]),
        ({"a": 1}, {"min_length": 2}, ["min_length"]),
        ("5", {"min_value": 1}, ["min_value"]),
        (True, {"min_value": 0}, ["min_value"]),
        (5, {"min_length": 1}, ["min_length"]),
        (5, {"pattern": "5"}, ["pattern"]),
        ("b", {"enum": ["a", "b"]}, []),
        ("c", {"enum": ["a", "b"]}, ["enum"]),
        (1, {"enum": [True]}, ["enum"]),
        (1, {"enum": [1.0]}, []),
        ([True], {"enum": [[1]]}, ["enum"]),
        ({"a": [1]}, {"enum": [{"a": [1.0]}]}, []),
    ],
)
def test_bounds_are_inclusive_and_of_the_right_kind(
    value: Any, rule: dict[str, Any], broken: list[str]
) -> None:
    assert violations(value, **rule) == broken


def test_every_violation_of_a_value_is_told_but_one_cause_only_once() -> None:
    rule = {"type": "email", "min_length": 10, "pattern": "@", "enum": ["a@b.com"]}

    assert violations("ada", **rule) == ["type", "min_length", "pattern", "enum"]
    assert violations(5, type="string", min_length=3, pattern="x") == ["type"]


def test_violations_name_field_rule_and_kind_and_never_show_the_value() -> None:
    payload = {"age": "secret", "address": {"zip": 12345}}
    rules = {
        "age": ValidationRule(type="integer"),
        "address.zip": ValidationRule(type="string"),
        "address.city": ValidationRule(required=True),
    }

    found = {error.field: error for error in validate_payload(payload, ["name"], rules)}

    assert set(found) == {"name", "age", "address.zip", "address.city"}
    assert (found["age"].rule, found["age"].value_kind) == ("type", "string")
    assert (found["name"].rule, found["name"].value_kind) == ("required", "missing")
    assert found["address.zip"].error == "must be a string"
    assert "secret" not in json.dumps([error.model_dump() for error in found.values()])


@pytest.mark.parametrize("record", [{}, {"name": None}, {"name": ""}, {"name": "  "}])
def test_required_means_given(record: dict[str, Any]) -> None:
    by_list = validate_payload(record, ["name"])
    by_rule = validate_payload(record, (), {"name": ValidationRule(required=True)})

    assert [error.rule for error in by_list] == ["required"]
    assert by_list == by_rule
    assert validate_payload(record, ["name"], {"name": ValidationRule(required=True)}) == by_list


@pytest.mark.parametrize("value", [0, False, [], {}])
def test_a_falsy_value_is_a_given_one(value: Any) -> None:
    assert validate_payload({"name": value}, ["name"]) == []


@pytest.mark.parametrize("record", [{}, {"email": None}])
def test_what_is_neither_given_nor_required_is_skipped(record: dict[str, Any]) -> None:
    assert validate_payload(record, (), {"email": ValidationRule(type="email", min_length=5)}) == []


def test_in_a_list_each_violation_tells_its_record() -> None:
    payload = [{"email": "a@example.com"}, {"email": "x"}, {}]

    found = validate_payload(payload, ["email"], {"email": ValidationRule(type="email")})

    assert [(error.field, error.rule) for error in found] == [
        ("[1].email", "type"),
        ("[2].email", "required"),
    ]


def test_paths_reach_into_arrays_and_flat_keys_win() -> None:
    payload = {"items": [{"sku": 1}], "a.b": "flat", "a": {"b": 1}}
    rules = {
        "items.0.sku": ValidationRule(type="string"),
        "items.9.sku": ValidationRule(type="string"),
        "a.b": ValidationRule(type="string"),
    }

    assert [error.field for error in validate_payload(payload, (), rules)] == ["items.0.sku"]


def test_a_national_number_is_held_against_the_country_of_its_record() -> None:
    rules = {"phone": ValidationRule(type="phone")}

    assert validate_payload({"phone": "13800138000", "country": "中国"}, (), rules) == []
    errors = validate_payload({"phone": "22-333-4444", "country": "USA"}, (), rules)
    assert [error.rule for error in errors] == ["type"]
    assert "US" in errors[0].error


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"^[A-Z]{2}\d+$", "AB12", True),
        (r"^[A-Z]{2}\d+$", "ab12", False),
        (r"b+", "abc", True),
        (r"^.{2}$", "中文", True),
        (r"^\p{Han}+$", "中文", True),
        (r"x", "\ud800", False),
    ],
)
def test_patterns_are_found_anywhere_unless_anchored(pattern: str, text: str, fits: bool) -> None:
    assert violations(text, pattern=pattern) == ([] if fits else ["pattern"])


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "a{5000}", "((a{30}){30}){30}"])
def test_a_bad_pattern_is_one_violation_whatever_the_data(pattern: str) -> None:
    rules = {"code": ValidationRule(pattern=pattern, min_length=2)}

    found = validate_payload([{"code": "a"}, {"code": "aa"}, {}], (), rules)

    assert [(error.field, error.rule) for error in found] == [
        ("code", "pattern"),
        ("[0].code", "min_length"),
    ]
    assert "the pattern is invalid" in found[0].error


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(a|a)*$", r"^(.*a){20}$"])
def test_a_catastrophic_pattern_takes_no_time(pattern: str) -> None:
    began = time.process_time()
    assert violations("a" * 50_000 + "!", pattern=pattern) == ["pattern"]
    assert time.process_time() - began < 2


async def test_valid_data_pass_with_counts() -> None:
    request = item({"age": 0}, required_fields=["age"], validation_rules={"age": {"min_value": 0}})

    report = await validation(FakeContext(), request)

    assert report["status"] == "success"
    assert report["result"] == {"records": 1, "required_fields": 1, "rules": 1, "violations": 0}
    assert report["changes"] is False


async def test_no_rules_pass_and_an_empty_list_is_remarked_upon() -> None:
    assert (await validation(FakeContext(), item({"a": 1})))["status"] == "success"

    report = await validation(FakeContext(), item([], required_fields=["a"]))
    assert report["status"] == "success"
    assert len(report["warnings"]) == 1


async def test_invalid_data_reject_with_the_whole_report() -> None:
    request = item(
        [{"email": "x", "age": -1}, {"email": "a@example.com", "age": 5}],
        validation_rules={"email": {"type": "email"}, "age": {"min_value": 0}},
    )

    with pytest.raises(Reject) as caught:
        await validation(FakeContext(), request)

    assert caught.value.code == "validation_failed"
    assert caught.value.message == "2 violations in 1 of 2 records"
    assert caught.value.output["status"] == "failed"
    assert [error["field"] for error in caught.value.output["errors"]] == ["[0].email", "[0].age"]
    json.dumps(caught.value.output, allow_nan=False)


async def test_what_an_earlier_step_made_is_what_is_checked() -> None:
    ctx = FakeContext(outputs={"transformation": {"changes": True, "payload": {"age": 5}}})

    report = await validation(
        ctx, item({"age": "5"}, validation_rules={"age": {"type": "integer"}})
    )

    assert report["status"] == "success"


async def test_a_long_list_reports_progress_and_keeps_indexes() -> None:
    ctx = FakeContext()
    request = item([{"n": n} for n in range(2_500)], validation_rules={"n": {"max_value": 2_498}})

    with pytest.raises(Reject) as caught:
        await validation(ctx, request)

    assert [error["field"] for error in caught.value.output["errors"]] == ["[2499].n"]
    assert [call.current for call in ctx.progressed] == [1_000, 2_000, 2_500]
    assert {call.total for call in ctx.progressed} == {2_500}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES, st.sampled_from(sorted(GOOD)))
def test_no_value_breaks_a_check_and_every_error_can_be_sent(value: Any, kind: str) -> None:
    rule = ValidationRule(
        type=kind,  # type: ignore[arg-type]
        min_length=1,
        max_length=5,
        min_value=0,
        max_value=9.5,
        pattern="a",
        enum=[1],
    )
    for error in validate_payload({"x": value}, ["x"], {"x": rule}):
        assert json.loads(error.model_dump_json())["field"] == "x"


async def test_a_report_lists_as_many_violations_as_it_can_carry_and_counts_them_all() -> None:
    request = item([{}] * 6_000, required_fields=["a", "b"])

    with pytest.raises(Reject) as caught:
        await validation(FakeContext(), request)

    assert caught.value.message == "12000 violations in 6000 of 6000 records"
    assert len(caught.value.output["errors"]) == 10_000
    assert caught.value.output["warnings"] == ["only the first 10,000 of 12,000 errors are listed"]
    assert len(validate_payload([{}] * 6_000, ["a", "b"])) == 12_000


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("a", True), ("b", False), ("1", False), (1, True), (1.0, True), (0, False),
        (True, False), (False, True), ([1], True), ([1.0], True), ([True], False), ([1, 2], False),
        ({"x": [1]}, True), ({"x": [2]}, False), ({}, False),
    ],
)  # fmt: skip
def test_a_choice_is_known_as_json_knows_it(value: Any, known: bool) -> None:
    choices = ["a", 1, False, [1], {"x": [1]}]

    assert violations(value, enum=choices) == ([] if known else ["enum"])
