"""Errors found in many records: all of them counted, and listed as far as a report can carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from handlers.report import StepError, StepReport

MOST_LISTED: Final = 10_000
"""Errors that one report lists. A few megabytes of tiny records can have billions of them."""


@dataclass(slots=True)
class Findings:
    """`errors` holds the first `limit` (None: all), `count` knows of every one."""

    limit: int | None = MOST_LISTED
    errors: list[StepError] = field(default_factory=list)
    count: int = 0
    records: int = 0
    """Records that have any."""

    def add(self, **error: str | None) -> None:
        """Note one, given by the fields of `StepError`."""
        self.count += 1
        if self.limit is None or len(self.errors) < self.limit:
            self.errors.append(StepError.model_validate(error))

    @property
    def unlisted(self) -> list[str]:
        """A warning, where not all are listed."""
        if self.count == len(self.errors):
            return []
        return [f"only the first {len(self.errors):,} of {self.count:,} errors are listed"]


def together(parts: Sequence[Findings], limit: int | None = MOST_LISTED) -> Findings:
    """The findings of all parts, in their order."""
    whole = Findings(limit)
    for part in parts:
        room = None if limit is None else max(0, limit - len(whole.errors))
        whole.errors += part.errors[:room]
        whole.count += part.count
        whole.records += part.records
    return whole


def dump_with(report: StepReport, payload: Any) -> dict[str, Any]:
    """`report` as a handler returns it, with the payload as it is.

    The payload is JSON already. To have pydantic copy ten thousand records of it takes a tenth of a
    second, all of it with the interpreter lock held.
    """
    return {**report.dump(), "payload": payload}


def counted(number: int, noun: str) -> str:
    """`1 record`, `2 records`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
