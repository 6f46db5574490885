"""The enrichment handler: what a record's fields imply, put beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final

from stepline.authoring import Context, handler
from stepline.contract import ChainItem

from handlers.enrichers.base import Enricher
from handlers.enrichers.country import COUNTRY
from handlers.enrichers.dates import AGE, BIRTH_DATE
from handlers.enrichers.email import EMAIL
from handlers.enrichers.names import NAMES
from handlers.enrichers.phone import PHONE
from handlers.findings import counted, dump_with
from handlers.offload import by_chunks
from handlers.report import StepReport, current_payload

ENRICHERS: Final[Sequence[Enricher]] = (NAMES, BIRTH_DATE, AGE, EMAIL, PHONE, COUNTRY)
PROCESSOR: Final = "stepline.enrichment"
VERSION: Final = "1.0"
"""Of the rules: it changes when the fields that they add change."""
METADATA: Final = "_metadata"
LIBRARIES: Final = ("pycountry", "countryinfo", "phonenumbers.carrier", "phonenumbers.timezone")


@handler
async def enrichment(ctx: Context, item: ChainItem) -> dict[str, Any]:
    """Add to each object what its fields imply, and `_metadata` that tells how.

    Returns a report with the enriched payload. Nothing that was sent is changed; what cannot be
    understood is a warning.
    """
    payload = current_payload(ctx, item)
    now = datetime.now(UTC)
    parts = await by_chunks(
        ctx, payload, lambda records, start: _run(records, start, now), libraries=LIBRARIES
    )
    return dump_with(_report(payload, parts), _result(payload, parts))


def enrich_payload(payload: Any, now: datetime | None = None) -> tuple[Any, list[str]]:
    """(enriched payload, warnings) as of `now` (aware; default: the present moment)."""
    records = payload if isinstance(payload, list) else [payload]
    part = _run(records, 0, now or datetime.now(UTC))
    return _result(payload, [part]), _report(payload, [part]).warnings


@dataclass(slots=True)
class Enriched:
    """What became of a run of records; each warning with how often and where it came first."""

    records: list[Any] = field(default_factory=list)
    changed: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    warnings: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def warn(self, field_name: str, message: str, index: int, count: int = 1) -> None:
        first, seen = self.warnings.get((field_name, message), (index, 0))
        self.warnings[field_name, message] = (first, seen + count)


def _run(records: Sequence[Any], start: int, now: datetime) -> Enriched:
    out = Enriched()
    for index, record in enumerate(records, start):
        out.records.append(_enrich(record, index, now, out) if isinstance(record, dict) else record)
    return out


def _enrich(record: dict[str, Any], index: int, now: datetime, out: Enriched) -> dict[str, Any]:
    def warn(field_name: str, message: str) -> None:
        out.warn(field_name, message, index)

    today: date = now.date()
    gained: dict[str, Any] = {}
    applied: list[Enricher] = []
    for enricher in ENRICHERS:
        found = enricher.enrich(record, today, warn)
        new = {key: value for key, value in found.items() if key not in record}
        if new:
            gained |= new
            applied.append(enricher)
            out.rules[enricher.rule] += 1
    out.changed += bool(applied)
    metadata = {
        "processed_at": now.isoformat(),
        "processor": PROCESSOR,
        "version": VERSION,
        "enrichment_rules_applied": [enricher.rule for enricher in applied],
        "data_sources": list(
            dict.fromkeys(_with_version(name) for enricher in applied for name in enricher.sources)
        ),
    }
    sent = record.get(METADATA)
    if sent is None:
        return {**record, **gained, METADATA: metadata}
    if not isinstance(sent, dict):
        warn(METADATA, "was sent and is no object: it is left as it is")
        return {**record, **gained}
    return {**record, **gained, METADATA: _merged(sent, metadata)}


def _merged(sent: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """The sender's entries stay; those of an earlier enrichment are brought up to date."""
    if sent.get("processor") != PROCESSOR:
        return {**ours, **sent}
    merged = {**sent, **ours}
    for key in ("enrichment_rules_applied", "data_sources"):
        earlier = sent.get(key)
        both = [*(earlier if isinstance(earlier, list) else ()), *ours[key]]
        merged[key] = [entry for index, entry in enumerate(both) if entry not in both[:index]]
    return merged


@cache
def _with_version(distribution: str) -> str:
    return f"{distribution} {version(distribution)}"


def _result(payload: Any, parts: Sequence[Enriched]) -> Any:
    records = [record for part in parts for record in part.records]
    return records if isinstance(payload, list) else records[0]


def _report(payload: Any, parts: Sequence[Enriched]) -> StepReport:
    whole = Enriched()
    for part in parts:
        whole.changed += part.changed
        whole.rules += part.rules
        for (field_name, message), (first, count) in part.warnings.items():
            whole.warn(field_name, message, first, count)
    multiple = isinstance(payload, list)
    warnings = [
        f"{field_name}: {message}"
        + (f" ({counted(count, 'record')}, the first at [{first}])" if multiple else "")
        for (field_name, message), (first, count) in whole.warnings.items()
    ]
    return StepReport(
        message=f"{counted(whole.changed, 'record')} enriched",
        changes=True,
        result={
            "records": sum(len(part.records) for part in parts),
            "records_enriched": whole.changed,
            "rules_applied": dict(whole.rules),
            "warnings": len(warnings),
        },
        warnings=warnings,
    )
