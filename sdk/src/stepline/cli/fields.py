"""`--numbers 1,2,3` as a payload: options become fields, typed by the task type's JSON schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stepline.contract.submissions import Named

Schema = Mapping[str, Any]

COMMON = frozenset(Named.model_fields)
"""What every submission may carry: it has options of its own."""


def payload_from(arguments: Sequence[str], schema: Schema) -> dict[str, Any]:
    """Fields from `--field value` and `--field=value`; `-` equals `_`. A boolean may stand alone.
    Raises `ValueError` for what is no field of the type or does not read as its kind."""
    fields: dict[str, Any] = {}
    properties = schema.get("properties", {})
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--"):
            raise ValueError(f"{option!r}: fields are given as --name value")
        name, given, value = option.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if name not in properties:
            known = ", ".join(f"--{field}" for field in properties if field not in COMMON)
            raise ValueError(f"{option}: this type has no such field; it has {known}")
        kinds = _kinds(properties[name], schema)
        if not given:
            if "boolean" in kinds and (not rest or rest[0].startswith("--")):
                value = "true"
            elif not rest:
                raise ValueError(f"--{name} needs a value")
            else:
                value = rest.pop(0)
        fields[name] = _read(name, value, properties[name], schema)
    return fields


def _read(name: str, text: str, field: Schema, schema: Schema) -> Any:
    kinds = _kinds(field, schema)
    if "array" in kinds and not text.lstrip().startswith("["):
        item = _resolved(field, schema).get("items", {})
        return [_read(name, part.strip(), item, schema) for part in text.split(",")]
    if "string" in kinds:
        return text
    if not kinds & {"integer", "number", "boolean", "array", "object"}:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        wanted = " or ".join(sorted(kinds - {"null"}))
        raise ValueError(f"--{name}: {text!r} is no {wanted}") from None


def _resolved(field: Schema, schema: Schema) -> Schema:
    """Without `$ref`, and of several possibilities the first that is not null."""
    while True:
        if "$ref" in field:
            field = schema.get("$defs", {}).get(field["$ref"].rpartition("/")[2], {})
        elif "anyOf" in field:
            options = [item for item in field["anyOf"] if item.get("type") != "null"]
            field = options[0] if options else {}
        else:
            return field


def _kinds(field: Schema, schema: Schema) -> set[str]:
    """The JSON types that a field may have."""
    if "anyOf" in field:
        return set().union(*(_kinds(item, schema) for item in field["anyOf"]))
    if "$ref" in field:
        return _kinds(_resolved(field, schema), schema)
    kind = field.get("type")
    return {kind} if kind else set()
