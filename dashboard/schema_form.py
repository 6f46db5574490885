"""A form made from a JSON schema: a field a property, as plain as the property is.

What is too rich for a field of its own is a text of JSON. `read` gives the value back, or says of
each field what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nicegui.element import Element

from dashboard.kit import box, words
from dashboard.pages.common import EMIT_VALUE
from dashboard.sequence import SequenceField

if TYPE_CHECKING:
    from nicegui import ui

    from dashboard.i18n import Texts
    from dashboard.source import Doc

LONG_TEXTS = ("message", "body", "text", "description")


class WrongField(ValueError):
    """What was typed is no value of this field's type."""


class SchemaForm:
    """Fields for the properties of `schema`; `skip` are not shown."""

    def __init__(self, texts: Texts, schema: Doc, skip: frozenset[str] = frozenset()) -> None:
        self._t = texts
        self._schema = schema
        self._raw: dict[str, Any] = {}
        self._wrong: dict[str, ui.label] = {}
        self._skip = skip
        self.example: Doc = next(iter(schema.get("examples", [])), {})
        self._inside = box("sl-form")

    def build(self, values: Mapping[str, Any]) -> None:
        """Draw the fields, filled with `values`."""
        self._inside.clear()
        self._raw, self._wrong = {}, {}
        required = set(self._schema.get("required", ()))
        properties = self._schema.get("properties", {})
        with self._inside:
            for name in sorted(properties, key=lambda name: name not in required):
                if name not in self._skip:
                    self._field(name, self._resolved(properties[name]), name in required, values)

    def _resolved(self, schema: Doc) -> Doc:
        """The property without `$ref` and without the `null` that says it may be left out."""
        if "$ref" in schema:
            found = self._schema.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
            return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
        options = [item for item in schema.get("anyOf", ()) if item.get("type") != "null"]
        if len(options) == 1:
            return {
                **self._resolved(options[0]),
                **{k: v for k, v in schema.items() if k != "anyOf"},
            }
        return schema

    def _field(self, name: str, schema: Doc, required: bool, values: Mapping[str, Any]) -> None:
        with box("row"):
            with box("label", "label") as label:
                label.props["for"] = f"field-{name}"
                words(name)
                if required:
                    words(" *", "need").props["title"] = self._t("required")
            if schema.get("description"):
                words(str(schema["description"]).partition("\n")[0], "hint", "p")
            if choices := self._handlers(schema):
                SequenceField(
                    self._t, choices, values.get(name) or [], lambda chosen: self._set(name, chosen)
                )
                self._raw[name] = list(values.get(name) or [])
            else:
                self._input(name, schema, values.get(name, schema.get("default")))
            self._wrong[name] = words("", "wrong", "p").props("role=alert")

    def _handlers(self, schema: Doc) -> list[str]:
        """The choices of a list of names, order and repetition allowed."""
        if schema.get("type") != "array":
            return []
        choices: list[str] = self._resolved(schema.get("items", {})).get("enum", [])
        return choices

    def _input(self, name: str, schema: Doc, value: Any) -> None:
        kind = kind_of(schema)
        text = to_text(kind, value)
        self._raw[name] = text
        if kind == "choice":
            made = self._choice(schema, text)
        elif kind in ("json", "list") or name in LONG_TEXTS:
            made = Element("textarea").classes("sl-field")
            rows = min(16, max(3, text.count("\n") + 2))
            made.props.update({"defaultValue": text, "rows": rows})
        else:
            made = Element("input").classes("sl-field")
            number = {"type": "number", "step": "any" if kind == "number" else 1}
            made.props.update(number if kind in ("number", "integer") else {"type": "text"})
            made.props["defaultValue"] = text
        made.props.update({"id": f"field-{name}", "name": name, "spellcheck": "false"})
        if kind == "list":
            words(self._t("one_per_line"), "hint", "p")
        made.on(
            "change" if kind == "choice" else "input",
            lambda event: self._set(name, event.args),
            js_handler=EMIT_VALUE,
        )

    def _choice(self, schema: Doc, value: str) -> Element:
        made = Element("select").classes("sl-field")
        options = ["true", "false"] if schema.get("type") == "boolean" else schema["enum"]
        with made:
            for option in ["", *(str(item) for item in options)]:
                item = Element("option")
                item.props["value"] = option
                if option == value:
                    item.props["selected"] = True
                with item:
                    words(option or "–")
        return made

    def _set(self, name: str, raw: Any) -> None:
        self._raw[name] = raw
        self._wrong[name].set_text("")

    def read(self) -> Doc | None:
        """The value; None if a field is wrong, which is then said beside it."""
        value: Doc = {}
        good = True
        for name, raw in self._raw.items():
            schema = self._resolved(self._schema["properties"][name])
            try:
                read = raw if isinstance(raw, list) else from_text(schema, str(raw))
            except WrongField:
                self._wrong[name].set_text(self._t("wrong_value"))
                good = False
                continue
            if read not in (None, []):
                value[name] = read
        return value if good else None

    def show_problems(self, errors: list[Mapping[str, Any]]) -> bool:
        """Say the API's findings beside their fields; False if one belongs to none of them."""
        all_shown = True
        for error in errors:
            name = str(error.get("field", "")).split(".")[0].split("[")[0]
            if name in self._wrong:
                self._wrong[name].set_text(str(error.get("message", "")))
            else:
                all_shown = False
        return all_shown and bool(errors)


def kind_of(schema: Doc) -> str:
    """text, integer, number, choice, list (of plain values), json."""
    if "enum" in schema or schema.get("type") == "boolean":
        return "choice"
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items", {})
        plain = [items, *items.get("anyOf", ())]
        if any(item.get("type") in ("string", "integer", "number") for item in plain):
            return "list"
        return "json"
    return {"string": "text", "integer": "integer", "number": "number"}.get(str(kind), "json")


def to_text(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "list" and isinstance(value, list):
        return "\n".join(str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    if kind == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    return str(value)


def from_text(schema: Doc, text: str) -> Any:
    """The value that was typed; None for nothing. Raises `WrongField`."""
    text = text if kind_of(schema) == "text" else text.strip()
    if text == "":
        return None
    readers: dict[str, Callable[[str], Any]] = {
        "text": str,
        "integer": int,
        "number": float,
        "json": json.loads,
        "choice": lambda chosen: chosen == "true" if schema.get("type") == "boolean" else chosen,
        "list": lambda lines: _read_list(schema, lines),
    }
    try:
        return readers[kind_of(schema)](text)
    except ValueError as error:
        raise WrongField(str(error)) from error


def _read_list(schema: Doc, text: str) -> list[Any]:
    items = schema.get("items", {})
    kinds = {item.get("type") for item in [items, *items.get("anyOf", ())]}
    lines = [line.strip() for line in text.replace(",", "\n").splitlines() if line.strip()]
    if kinds & {"integer", "number"}:
        return [_number(line) for line in lines]
    return [line.strip() for line in text.splitlines() if line.strip()]


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
