"""Before any format: which fields of a record go out, and how flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stepline.contract import ExportConfig

from handlers.fieldpaths import MISSING, lookup

Record = Mapping[str, Any]
Count = Callable[[int], None]
"""Told by an exporter how many records it has written."""


def unseen(done: int) -> None:
    """For whoever does not ask how far an export is."""
    del done


def shaped(record: Record, config: ExportConfig) -> dict[str, Any]:
    """The record with its field filters applied, flattened if wanted.

    Both filters take names and dotted paths (`address.city`, `items.0.sku`). `fields` decides the
    order too; what it picks by a path goes out under that path. Excluding goes before picking: an
    excluded field never goes out, nor does anything inside it.
    """
    if config.flatten:
        return _shaped_flat(dict(flattened(record)), config)
    excluded = set(config.exclude_fields or ())
    top = {name: value for name, value in record.items() if name not in excluded}
    result: dict[str, Any] = _without(top, {path for path in excluded if "." in path})
    if config.fields is None:
        return result
    found = {path: lookup(result, path) for path in config.fields}
    return {path: value for path, value in found.items() if value is not MISSING}


def _shaped_flat(record: dict[str, Any], config: ExportConfig) -> dict[str, Any]:
    """A flat record's names are paths: a filter's path means that name, and all names inside it."""
    excluded = set(config.exclude_fields or ())
    kept = {name: value for name, value in record.items() if excluded.isdisjoint(_around(name))}
    if config.fields is None:
        return kept
    picked: dict[str, list[str]] = {path: [] for path in config.fields}
    for name in kept:
        for path in _around(name):
            if path in picked:
                picked[path].append(name)
    return {name: kept[name] for names in picked.values() for name in names}


def _around(name: str) -> Iterator[str]:
    """A flattened name, and the paths of all that it lies in."""
    yield name
    for place, character in enumerate(name):
        if character == ".":
            yield name[:place]


def _without(node: Any, paths: set[str]) -> Any:
    """The value without what is at `paths`, however dots in keys make them be read; all at once,
    so that places of a list mean the list as it came. Never touches its input."""
    if not paths or not isinstance(node, Mapping | list):
        return node
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    left = {
        name: _without(value, _within(f"{name}.", paths))
        for name, value in items
        if str(name) not in paths
    }
    return left if isinstance(node, Mapping) else list(left.values())


def _within(prefix: str, paths: set[str]) -> set[str]:
    return {path[len(prefix) :] for path in paths if path.startswith(prefix)}


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
