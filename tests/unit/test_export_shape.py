"""Which fields of a record an export holds: picked and excluded by name or by dotted path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stepline.contract import ExportConfig

from handlers.exporters.shape import flattened, shaped

USER = {
    "id": 7,
    "user": {"name": "王小明", "password": "hunter2", "home": {"city": "Ürgüp", "zip": None}},
    "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}],
}


def shape(record: dict[str, Any], **config: Any) -> dict[str, Any]:
    return shaped(record, ExportConfig(**config))


def test_without_filters_a_record_goes_out_as_it_is() -> None:
    assert shape(USER) == USER


def test_fields_pick_in_their_own_order_under_their_own_path() -> None:
    picked = shape(USER, fields=["items.1.sku", "user.home.city", "id", "user.home.zip"])

    assert list(picked.items()) == [
        ("items.1.sku", "b"),
        ("user.home.city", "Ürgüp"),
        ("id", 7),
        ("user.home.zip", None),
    ]


def test_fields_that_a_record_lacks_are_left_out() -> None:
    assert shape(USER, fields=["id", "user.home.street", "items.2", "id.x", "gone"]) == {"id": 7}


def test_no_fields_picked_is_an_empty_record() -> None:
    assert shape(USER, fields=[]) == {}


@pytest.mark.parametrize("flatten", [False, True])
def test_an_excluded_path_is_gone_and_its_neighbours_stay(flatten: bool) -> None:
    text = repr(shape(USER, exclude_fields=["user.password"], flatten=flatten))

    assert "hunter2" not in text
    assert "王小明" in text
    assert "Ürgüp" in text


@pytest.mark.parametrize("flatten", [False, True])
def test_excluding_an_object_excludes_all_that_is_in_it(flatten: bool) -> None:
    left = shape({"user": {"a": {"b": 1}}, "users": 2}, exclude_fields=["user"], flatten=flatten)

    assert left == {"users": 2}


@pytest.mark.parametrize("flatten", [False, True])
def test_what_is_excluded_cannot_be_picked(flatten: bool) -> None:
    record = {"user": {"name": "x", "password": "hunter2"}}
    filters = {"fields": ["user.password", "user"], "exclude_fields": ["user.password"]}
    expected = {"user.name": "x"} if flatten else {"user": {"name": "x"}}

    assert shape(record, **filters, flatten=flatten) == expected


def test_a_place_of_a_list_can_be_excluded_and_so_can_a_field_within() -> None:
    left = shape(USER, exclude_fields=["items.0.n", "items.1"])

    assert left["items"] == [{"sku": "a"}]


def test_places_mean_the_list_as_it_came() -> None:
    left = shape({"items": ["a", "b", "c", "d"]}, exclude_fields=["items.0", "items.1"])

    assert left == {"items": ["c", "d"]}


def test_a_key_that_holds_a_dot_is_picked_before_the_path_that_it_looks_like() -> None:
    record = {"user.name": "key", "user": {"name": "path"}}

    assert shape(record, fields=["user.name"]) == {"user.name": "key"}


def test_excluding_takes_a_key_that_holds_a_dot_and_the_path_that_it_looks_like() -> None:
    record = {"user.name": "key", "user": {"name": "path", "a.b": "inner"}, "id": 1}

    assert shape(record, exclude_fields=["user.name", "user.a.b"]) == {"user": {}, "id": 1}


@pytest.mark.parametrize("path", ["gone", "gone.x", "id.x", "items.9", "items.x", "user.", ".", ""])
def test_excluding_what_is_not_there_changes_nothing(path: str) -> None:
    assert shape(USER, exclude_fields=[path]) == USER


def test_an_object_picked_from_a_flat_record_brings_all_that_is_in_it() -> None:
    picked = shape(USER, flatten=True, fields=["user.home", "id"])

    assert list(picked.items()) == [
        ("user.home.city", "Ürgüp"),
        ("user.home.zip", None),
        ("id", 7),
    ]


at_any_pace = settings(deadline=None)

keys = st.sampled_from(["a", "b", "0", "a.b", "", "名"])
nested = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=10,
)
paths = st.lists(keys, min_size=1, max_size=3).map(".".join)


@at_any_pace
@given(record=st.dictionaries(keys, nested, max_size=4), path=paths, flatten=st.booleans())
def test_filters_never_touch_the_record(record: dict[str, Any], path: str, flatten: bool) -> None:
    before = copy.deepcopy(record)
    shape(record, fields=[path], exclude_fields=[path, f"{path}.a"], flatten=flatten)

    assert record == before


@at_any_pace
@given(record=st.dictionaries(keys, nested, max_size=4), path=paths)
def test_nothing_excluded_is_left_in_a_flat_record(record: dict[str, Any], path: str) -> None:
    left = shape(record, exclude_fields=[path], flatten=True)
    all_names = dict(flattened(record))

    assert set(all_names) - set(left) == {
        name for name in all_names if name == path or name.startswith(f"{path}.")
    }


@at_any_pace
@given(record=st.dictionaries(keys, nested, max_size=4), path=paths, flatten=st.booleans())
def test_what_is_excluded_is_not_there_to_be_picked(
    record: dict[str, Any], path: str, flatten: bool
) -> None:
    assume("0" not in path.split("."))  # the next item of a list moves up into its place
    assert shape(record, fields=[path], exclude_fields=[path], flatten=flatten) == {}
