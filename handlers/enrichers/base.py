"""What an enricher is: one rule that finds new fields in those that a record has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

Warn: TypeAlias = Callable[[str, str], None]
"""(field, what could not be understood about it; never its value)."""

Enrich: TypeAlias = Callable[[Mapping[str, Any], date, Warn], dict[str, Any]]
"""(record, today, warn) → the new fields, JSON-able."""


@dataclass(frozen=True, slots=True)
class Enricher:
    """A rule by name, and the distributions whose data it reads."""

    rule: str
    enrich: Enrich
    sources: tuple[str, ...] = ()
