"""Before any format: which fields of a record go out, and how flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stepline.contract import ExportConfig

Record = Mapping[str, Any]
Count = Callable[[int], None]
"""Told by an exporter how many records it has written."""


def unseen(done: int) -> None:
    """For whoever does not ask how far an export is."""
    del done


def shaped(record: Record, config: ExportConfig) -> dict[str, Any]:
    """The record with its field filters applied, flattened if wanted. `fields` decides the order
    too; both filters take the flattened names when `flatten` is on, plain names otherwise."""
    result = dict(flattened(record)) if config.flatten else dict(record)
    if config.fields is not None:
        result = {name: result[name] for name in config.fields if name in result}
    if config.exclude_fields:
        excluded = set(config.exclude_fields)
        result = {name: value for name, value in result.items() if name not in excluded}
    return result


def flattened(value: Mapping[str, Any] | list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys joined by dots, places of a list by number; what is empty stays as it is."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, item in items:
        name = f"{prefix}{key}"
        if isinstance(item, Mapping | list) and item:
            yield from flattened(item, f"{name}.")
        else:
            yield name, item


def columns(records: list[dict[str, Any]]) -> list[str]:
    """Every field of any record, in the order in which they first come."""
    return list(dict.fromkeys(name for record in records for name in record))
