"""Each format parses back to what went in, by the rules that its exporter states."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any
from unittest.mock import ANY

import openpyxl
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree
from stepline.contract import ExportConfig
from stepline.errors import Reject

from handlers.exporters import xlsx_format
from handlers.exporters.csv_format import to_csv
from handlers.exporters.shape import flattened, shaped
from handlers.exporters.text import to_json, to_txt, to_yaml
from handlers.exporters.xlsx_format import to_xlsx
from handlers.exporters.xml_format import ILLEGAL, to_xml

# what JSON can say: no lone surrogates, no infinities, integers of 64 bits
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(texts, values, max_size=4), max_size=5)

quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def written(chunks: Any) -> bytes:
    return b"".join(chunks)


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same JSON types: 1 is not True and not 1.0."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@quickly
@given(records=records)
def test_json_lists(records: list[Any]) -> None:
    assert same(json.loads(written(to_json(records, False))), records)


@quickly
@given(record=st.dictionaries(texts, values, max_size=4))
def test_json_objects(record: dict[str, Any]) -> None:
    assert same(json.loads(written(to_json([record], True))), record)


@quickly
@given(records=records)
def test_yaml_lists(records: list[Any]) -> None:
    assert same(yaml.safe_load(written(to_yaml(records, False))), records)


def test_yaml_objects_keep_their_order_and_their_script() -> None:
    text = written(to_yaml([{"名字": "王小明", "a": "yes"}], True)).decode()

    assert text == "名字: 王小明\na: 'yes'\n"


@pytest.mark.parametrize(
    "text",
    ["1e3", "08540", "0o17", "1.5e3", "-.5", "y", "N", "yes", "~", "=", "2026-01-01", "12:30"],
)
def test_yaml_quotes_what_any_parser_could_take_for_no_text(text: str) -> None:
    assert written(to_yaml([{text: text}], True)).decode() == f"'{text}': '{text}'\n"


def test_yaml_numbers_are_not_quoted() -> None:
    record = {"a": 1, "b": -0.5, "c": 1e20, "d": 2**64 - 1, "e": True, "f": None, "g": 1e-7}
    text = written(to_yaml([record], True))

    assert same(yaml.safe_load(text), record)
    assert b"'" not in text
    assert b"!!" not in text


def unguarded(cell: str) -> str:
    return cell[1:] if re.match(r"'+[=+\-@\t\r\n\0]", cell) else cell


def csv_value(cell: str, original: Any) -> Any:
    """A text is itself; everything else is JSON."""
    return unguarded(cell) if isinstance(original, str) else json.loads(cell)


@quickly
@given(records=records)
def test_csv(records: list[dict[str, Any]]) -> None:
    rows = list(csv.reader(io.StringIO(written(to_csv(records, False)).decode(), newline="")))
    names = list(dict.fromkeys(name for record in records for name in record))
    if not names:
        return
    assert [unguarded(cell) for cell in rows[0]] == names
    body = [row or [""] for row in rows[1:]]
    for record, row in zip(records, body, strict=True):
        back = {
            name: csv_value(cell, record[name])
            for name, cell in zip(names, row, strict=True)
            if name in record
        }
        assert same(back, record)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", "'=1", "''@a"]
)
def test_csv_never_holds_a_formula_nor_loses_an_apostrophe(text: str) -> None:
    file = io.StringIO(written(to_csv([{text: text}], True)).decode(), newline="")

    assert list(csv.reader(file)) == [[f"'{text}"], [f"'{text}"]]
    assert unguarded(f"'{text}") == text


@pytest.mark.parametrize("text", ["it's", "'quoted'", "a=1", "", " =1"])
def test_csv_leaves_other_texts_alone(text: str) -> None:
    file = io.StringIO(written(to_csv([{"a": text}], True)).decode(), newline="")

    assert list(csv.reader(file))[1] == [text]


def test_csv_leaves_real_numbers_alone() -> None:
    assert written(to_csv([{"a": -1, "b": -0.5}], True)) == b"a,b\r\n-1,-0.5\r\n"


def from_xml(node: Any) -> Any:
    text = node.text or ""
    match node.get("type"):
        case "null":
            return None
        case "string":
            return text
        case "object":
            return {child.get("name", child.tag): from_xml(child) for child in node}
        case "array":
            return [from_xml(child) for child in node]
        case _:
            return json.loads(text)


def legal(value: Any) -> Any:
    """What XML 1.0 can hold of it."""
    if isinstance(value, str):
        return ILLEGAL.sub("", value)
    if isinstance(value, list):
        return [legal(item) for item in value]
    if isinstance(value, dict):
        return {ILLEGAL.sub("", key): legal(item) for key, item in value.items()}
    return value


@quickly
@given(records=records)
def test_xml(records: list[dict[str, Any]]) -> None:
    root = etree.fromstring(written(to_xml(records, False)))

    assert same([from_xml(child) for child in root], legal(records))


def test_xml_of_one_object_is_readable() -> None:
    text = written(to_xml([{"name": "王", "a b": 1, "tags": []}], True)).decode()

    assert text.splitlines()[1] == (
        '<record type="object"><name type="string">王</name>'
        '<field name="a b" type="integer">1</field><tags type="array"/></record>'
    )


def from_line(text: str) -> str:
    return re.sub(
        r"\\(?:u([0-9a-f]{4})|(.))",
        lambda m: chr(int(m[1], 16)) if m[1] else {"n": "\n", "r": "\r"}.get(m[2], m[2]),
        text,
    )


def from_txt(text: str) -> list[dict[str, str]]:
    """An empty line begins the next record; no fields and no record look the same."""
    found: list[dict[str, str]] = [{}]
    for line in text.splitlines():
        if line:
            name, _, value = line.partition(": ")
            found[-1][from_line(name)] = from_line(value)
        else:
            found.append({})
    return found


@quickly
@given(records=records)
@example(records=[{"a: b": "c", "a": "b: c", "\\u003a ": ": "}, {}, {"": "\x85\u2028\\n"}, {}])
def test_txt(records: list[dict[str, Any]]) -> None:
    back = from_txt(written(to_txt(records, False)).decode())

    for record, read in zip(records or [{}], back, strict=True):
        assert list(read) == list(record)
        for name, value in record.items():
            assert same(read[name] if isinstance(value, str) else json.loads(read[name]), value)


cells = st.none() | st.booleans() | numbers | texts


def from_cell(cell: Any) -> Any:
    """As spreadsheets read it, which the test's library leaves to its caller."""
    if not isinstance(cell, str):
        return cell
    return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda m: chr(int(m[1], 16)), cell)


@quickly
@given(records=st.lists(st.dictionaries(texts, cells, min_size=1), max_size=4))
def test_xlsx(records: list[dict[str, Any]]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(written(to_xlsx(records, False))))
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = list(book.active.iter_rows(values_only=True)) if names else []
    for record, row in zip(records, rows[1:], strict=True):
        for name, cell in zip(names, row, strict=False):
            if name in record:
                back = from_cell(cell) if cell is not None else ""
                assert in_a_sheet(record[name]) == back, (name, cell)


def in_a_sheet(value: Any) -> Any:
    """Numbers that a sheet holds exactly stay numbers; what is neither number nor truth is text."""
    if value is None:
        return "null"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-14) if abs(value) < 1e308 else ANY
    return value


@pytest.mark.parametrize("text", ["=1+1", "http://a.example", "{=A1}", "-1"])
def test_xlsx_takes_no_text_for_a_formula_or_a_link(text: str) -> None:
    book = openpyxl.load_workbook(io.BytesIO(written(to_xlsx([{"a": text}], True))))
    cell = book.active["A2"]

    assert (cell.value, cell.data_type, cell.hyperlink) == (text, "s", None)


def test_what_a_sheet_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Reject, match="32,767") as refused:
        written(to_xlsx([{"a": "x" * 40_000}], True))
    assert refused.value.code == "export_failed"
    with pytest.raises(Reject, match="32,767"):
        written(to_xlsx([{"a" * 32_768: 1}], True))
    monkeypatch.setattr(xlsx_format, "MAX_ROWS", 2)
    with pytest.raises(Reject, match="records"):
        written(to_xlsx([{"a": 1}, {"a": 2}], False))


def test_filters_and_flattening() -> None:
    record = {"a": {"b": 1, "c": [2, {"d": 3}]}, "e": [], "f": {}}

    assert dict(flattened(record)) == {"a.b": 1, "a.c.0": 2, "a.c.1.d": 3, "e": [], "f": {}}
    config = ExportConfig(flatten=True, fields=["a.c.0", "a.b", "gone"], exclude_fields=["a.b"])
    assert shaped(record, config) == {"a.c.0": 2}
    assert record == {"a": {"b": 1, "c": [2, {"d": 3}]}, "e": [], "f": {}}
