"""What the transformation handler makes of payloads, and what it refuses."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepline.contract import ChainItem
from stepline.errors import Reject

from handlers.transformation import transform_payload, transformation
from handlers.transforms import transform_names
from tests.unit.fakes import FakeContext


def item(payload: Any, transformations: dict[str, Any]) -> ChainItem:
    data = {"payload": payload, "transformations": transformations}
    return ChainItem.model_validate({"request_type": "data_transformation", "data": data})


async def test_one_name_or_a_list_of_names_on_one_object() -> None:
    payload = {"name": " ada lovelace ", "salary": "75,000", "id": 7}
    transformations = {"name": ["strip", "title_case"], "salary": ["to_number", "multiply_1.1"]}

    report = await transformation(FakeContext(), item(payload, transformations))

    assert report["payload"] == {"name": "Ada Lovelace", "salary": 82500, "id": 7}
    assert report["changes"] is True
    assert report["result"] == {"records": 1, "records_changed": 1, "fields": 2, "errors": 0}


async def test_each_object_of_a_list() -> None:
    report = await transformation(
        FakeContext(), item([{"name": "a"}, {"name": "b"}], {"name": "uppercase"})
    )

    assert report["payload"] == [{"name": "A"}, {"name": "B"}]
    assert report["message"] == "2 records transformed"


@pytest.mark.parametrize("payload", [{"a": None, "b": 1}, [{"a": 1}], []])
async def test_no_transformations_leave_the_payload_as_it_is(payload: Any) -> None:
    report = await transformation(FakeContext(), item(payload, {}))

    assert report["payload"] == payload
    assert report["warnings"] == []


def test_nested_fields_are_reached_and_the_input_is_never_touched() -> None:
    payload = {"address": {"city": "köln", "zip": "1"}, "tags": [{"name": "a"}, {"name": "b"}]}
    before = copy.deepcopy(payload)

    result, errors, warnings = transform_payload(
        payload, {"address.city": "uppercase", "tags.1.name": "uppercase"}
    )

    assert result == {
        "address": {"city": "KÖLN", "zip": "1"},
        "tags": [{"name": "a"}, {"name": "B"}],
    }
    assert (errors, warnings) == ([], [])
    assert payload == before


def test_a_field_that_is_missing_or_null_is_a_warning() -> None:
    result, errors, warnings = transform_payload(
        [{"name": "a"}, {}, {"name": None}], {"name": "uppercase", "address.city": "strip"}
    )

    assert result == [{"name": "A"}, {}, {"name": None}]
    assert errors == []
    assert warnings == [
        "field 'address.city' is missing in 3 of 3 records: left as it is",
        "field 'name' is missing in 1 of 3 records: left as it is",
        "field 'name' is null in 1 of 3 records: left as it is",
    ]
    assert transform_payload({}, {"a": "strip"})[2] == ["field 'a' is missing: left as it is"]


async def test_all_errors_of_all_fields_reject_the_step() -> None:
    payload = [{"name": "a", "age": "x", "n": 1}, {"name": "b", "age": "5", "n": "2"}]
    transformations = {"name": "upercase", "age": "to_number", "n": ["add_1", "round_1"]}

    with pytest.raises(Reject) as caught:
        await transformation(FakeContext(), item(payload, transformations))

    assert caught.value.code == "transformation_failed"
    assert caught.value.message == "3 errors in 2 records"
    output = caught.value.output
    assert output["status"] == "failed"
    assert output["changes"] is False
    assert [(e["field"], e["rule"], e.get("value_kind")) for e in output["errors"]] == [
        ("name", "upercase", None),
        ("[0].age", "to_number", "string"),
        ("[1].n", "add_1", "string"),
    ]
    assert "'uppercase'" in output["errors"][0]["error"]
    json.dumps(output, allow_nan=False)


@pytest.mark.parametrize(
    ("spec", "nearest"),
    [
        ("upeprcase", "'uppercase'"),
        ("lower_case", "'lowercase'"),
        ("multply_2", "'multiply_2'"),
        ("repalce_a_b", "'replace_a_b'"),
        ("Strip", "'strip'"),
        ("slug", "'generate_slug'"),
        ("", "the nearest known one"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known_one(spec: str, nearest: str) -> None:
    errors = transform_payload({"a": "x"}, {"a": spec})[1]

    assert len(errors) == 1
    assert repr(spec) in errors[0].error
    assert nearest in errors[0].error


def test_a_bad_name_is_told_once_however_many_records_there_are() -> None:
    assert len(transform_payload([{"a": "x"}] * 50, {"a": ["nonsense", "strip"]})[1]) == 1


@pytest.mark.parametrize(
    "spec",
    [
        "multiply",
        "multiply_",
        "multiply_x",
        "multiply_nan",
        "add_inf",
        "add_1e999",
        "divide_0",
        "divide_-0.0",
        "round",
        "round_1.5",
        "round_99",
        "substring",
        "substring_a_b",
        "replace",
        "replace_a",
        "replace__b",
        "format_{",
        "format_{0.real}",
        "format",
    ],
)
def test_an_argument_that_cannot_be_read_is_an_error_that_shows_the_form(spec: str) -> None:
    errors = transform_payload({"a": 1}, {"a": spec})[1]

    assert [error.field for error in errors] == ["a"]
    assert spec.partition("_")[0] + "_" in errors[0].error


def test_every_transformation_of_the_contract_is_there() -> None:
    names = (
        "uppercase lowercase strip title_case capitalize to_number to_string to_boolean "
        "multiply_1.1 divide_2 add_10 subtract_10 round_2 remove_spaces remove_special_chars "
        "extract_numbers extract_letters substring_0_5 replace_OLD_NEW reverse format_{value} "
        "normalize_phone normalize_email generate_slug"
    )
    assert transform_names() == sorted(names.split())


def test_later_fields_see_what_earlier_ones_became() -> None:
    payload = {"first_name": "ada", "last_name": "lovelace", "greeting": "?"}
    transformations = {
        "first_name": "title_case",
        "greeting": "format_Hello {first_name}",
        "full_name": ["format_{first_name} {last_name}", "uppercase"],
    }

    result, errors, warnings = transform_payload(payload, transformations)

    assert result["greeting"] == "Hello Ada"
    assert result["full_name"] == "ADA LOVELACE"
    assert (errors, warnings) == ([], [])


async def test_a_long_list_is_worked_in_order_and_reports_progress() -> None:
    ctx = FakeContext()
    payload = [{"n": n} for n in range(1_500)]

    report = await transformation(ctx, item(payload, {"n": "add_1"}))

    assert [record["n"] for record in report["payload"]] == list(range(1, 1_501))
    assert [call.current for call in ctx.progressed] == [1_000, 1_500]


async def test_it_goes_on_with_what_an_earlier_step_made() -> None:
    ctx = FakeContext(outputs={"transformation": {"changes": True, "payload": {"a": "x"}}})

    assert (await transformation(ctx, item({"a": "y"}, {"a": "uppercase"})))["payload"] == {
        "a": "X"
    }


SPECS = [
    *(
        name
        for name in transform_names()
        if "_" not in name or name.startswith(("to_", "extract_"))
    ),
    "title_case",
    "remove_spaces",
    "remove_special_chars",
    "generate_slug",
    "normalize_email",
    "multiply_1.1",
    "divide_3",
    "add_0.1",
    "subtract_5",
    "round_2",
    "round_-1",
    "substring_1_-1",
    "replace_a_b_c",
    "format_<{}|{value:.2f}|{other}>",
]
VALUES = st.one_of(
    st.text(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
    st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{0,5})?", fullmatch=True),
)


@given(VALUES, st.lists(st.sampled_from(SPECS), max_size=4))
def test_any_value_through_any_steps_gives_json_or_an_error_and_is_not_touched(
    value: Any, specs: list[str]
) -> None:
    payload = {"field": value, "other": 1}
    before = repr(payload)

    result, errors, _ = transform_payload(payload, {"field": specs})

    assert repr(payload) == before
    assert len(errors) <= 1
    if specs and not errors:
        # What nothing changed may be as unsound as it came; what was made must be sound.
        made = result["field"]
        assert made is value or json.loads(json.dumps(made)) == made


async def test_small_templates_over_many_records_cannot_fill_the_memory() -> None:
    request = item([{"a": "x"}] * 5_000, {"a": ["format_{}{}"] * 18})

    with pytest.raises(Reject) as caught:
        await transformation(FakeContext(), request)

    assert "more than 50,000,000 characters" in caught.value.output["errors"][0]["error"]
