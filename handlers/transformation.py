"""The transformation handler: named steps on fields, of one object or of each of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stepline.authoring import Context, handler
from stepline.contract import ChainItem
from stepline.errors import Reject

from handlers import phones
from handlers.fieldpaths import MISSING, kind_of, lookup, replaced
from handlers.findings import Findings, counted, dump_with, together
from handlers.offload import by_chunks
from handlers.report import StepError, StepReport, current_payload
from handlers.transforms import BadTransform, Misfit, Step, parse_step

MOST_GROWTH: Final = 50_000_000
"""Characters that the transformations may make more than there were, in the whole payload."""


@handler
async def transformation(ctx: Context, item: ChainItem) -> dict[str, Any]:
    """Apply the `transformations` to the payload; fields in the order given, each one's in order.

    Returns a report with the new payload; a field that a record lacks, or that is null, is left
    alone with a warning. Raises `Reject` (code `transformation_failed`) with every error of every
    field in the report where a name is unknown or a transformation does not fit its value.
    """
    payload = current_payload(ctx, item)
    plan = Plan.of(item.data.transformations)
    multiple = isinstance(payload, list)
    parts = await by_chunks(
        ctx,
        payload,
        lambda records, start: plan.apply(records, start if multiple else None),
        libraries=plan.libraries,
    )
    report = _report(payload, plan, parts)
    if report.errors:
        raise Reject(report.message, code="transformation_failed", output=report.dump())
    return dump_with(report, _result(payload, parts))


def transform_payload(
    payload: Any, transformations: Mapping[str, str | Sequence[str]]
) -> tuple[Any, list[StepError], list[str]]:
    """(new payload, or None where there are errors; errors; warnings). Never touches its input."""
    plan = Plan.of(transformations)
    multiple = isinstance(payload, list)
    part = plan.apply(payload if multiple else [payload], 0 if multiple else None)
    report = _report(payload, plan, [part])
    result = None if report.errors else _result(payload, [part])
    return result, report.errors, report.warnings


@dataclass(slots=True)
class Transformed:
    """What became of a run of records; `absent` counts, by (field, "missing" or "null")."""

    records: list[Any] = field(default_factory=list)
    found: Findings = field(default_factory=Findings)
    absent: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed: int = 0


@dataclass(slots=True)
class Growth:
    """How much more text there may be: small templates over many records could make gigabytes."""

    left: int = MOST_GROWTH

    def spend(self, before: Any, after: Any) -> bool:
        """Note that one value became another; False where that is more than was left."""
        self.left -= max(0, _length(after) - _length(before))
        return self.left >= 0


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of each field, made ready; what was wrong with their names."""

    steps: Mapping[str, Sequence[Step]]
    names: Findings
    libraries: tuple[str, ...]
    growth: Growth = field(default_factory=Growth)

    @classmethod
    def of(cls, transformations: Mapping[str, str | Sequence[str]]) -> Plan:
        steps: dict[str, list[Step]] = {}
        unknown = Findings()
        for path, specs in transformations.items():
            steps[path] = []
            for spec in [specs] if isinstance(specs, str) else specs:
                try:
                    steps[path].append(parse_step(spec))
                except BadTransform as error:
                    unknown.add(field=path, rule=spec, error=str(error))
        broken = {error.field for error in unknown.errors}
        names = {step.spec for chain in steps.values() for step in chain}
        libraries = phones.LIBRARIES if "normalize_phone" in names else ()
        # With a step of unknown meaning left out, the later ones would only mislead.
        sound = {path: chain for path, chain in steps.items() if path not in broken}
        return cls(sound, unknown, libraries)

    def apply(self, records: Sequence[Any], start: int | None) -> Transformed:
        """`start` is the index of the first record, None for a single object."""
        out = Transformed()
        for offset, original in enumerate(records):
            prefix = "" if start is None else f"[{start + offset}]."
            before = out.found.count
            record = original
            for path, steps in self.steps.items():
                record = self._field(record, path, steps, prefix, out)
                if self.growth.left < 0:
                    error = f"more than {MOST_GROWTH:,} characters would be made of the payload"
                    out.found.add(field=prefix + path, error=error)
                    return out
            out.found.records += out.found.count > before
            out.changed += record is not original
            out.records.append(record)
        return out

    def _field(
        self, record: Any, path: str, steps: Sequence[Step], prefix: str, out: Transformed
    ) -> Any:
        value = lookup(record, path)
        creates = bool(steps) and steps[0].creates and "." not in path and value is MISSING
        if not steps:
            return record
        if not creates and (value is MISSING or value is None):
            out.absent[path, kind_of(value)] += 1
            return record
        result = None if value is MISSING else value
        for step in steps:
            try:
                result = step.apply(result, record)
            except Misfit as error:
                out.found.add(
                    field=prefix + path,
                    rule=step.spec,
                    value_kind=kind_of(result),
                    error=str(error),
                )
                return record
        return replaced(record, path, result) if self.growth.spend(value, result) else record


def _report(payload: Any, plan: Plan, parts: Sequence[Transformed]) -> StepReport:
    total = len(payload) if isinstance(payload, list) else 1
    found = together([plan.names, *(part.found for part in parts)])
    counts = {
        "records": total,
        "records_changed": sum(part.changed for part in parts),
        "fields": len(plan.steps),
        "errors": found.count,
    }
    warnings = [*_absences(payload, parts), *found.unlisted]
    if found.count:
        return StepReport(
            message=f"{counted(found.count, 'error')} in {counted(total, 'record')}",
            status="failed",
            result=counts,
            errors=found.errors,
            warnings=warnings,
        )
    return StepReport(
        message=f"{counted(counts['records_changed'], 'record')} transformed",
        changes=True,
        result=counts,
        warnings=warnings,
    )


def _result(payload: Any, parts: Sequence[Transformed]) -> Any:
    records = [record for part in parts for record in part.records]
    return records if isinstance(payload, list) else records[0]


def _absences(payload: Any, parts: Sequence[Transformed]) -> list[str]:
    absent = sum((part.absent for part in parts), Counter[tuple[str, str]]())
    of_all = f" of {len(payload)} records" if isinstance(payload, list) else ""
    return [
        f"field {path!r} is {kind}" + (f" in {count}{of_all}" if of_all else "") + ": left as it is"
        for (path, kind), count in absent.items()
    ]
