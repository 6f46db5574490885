"""The transformation handler: named steps on fields, of one object or of each of a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepline.authoring import Context, handler
from stepline.contract import ChainItem
from stepline.errors import Reject

from handlers import phones
from handlers.fieldpaths import MISSING, kind_of, lookup, replaced
from handlers.offload import by_chunks
from handlers.report import StepError, StepReport, current_payload
from handlers.transforms import BadTransform, Misfit, Step, parse_step


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
    report = _report(plan, payload, parts)
    if report.errors:
        raise Reject(report.message, code="transformation_failed", output=report.dump())
    return report.dump()


def transform_payload(
    payload: Any, transformations: Mapping[str, str | Sequence[str]]
) -> tuple[Any, list[StepError], list[str]]:
    """(new payload, errors, warnings); the payload given is never touched."""
    plan = Plan.of(transformations)
    multiple = isinstance(payload, list)
    part = plan.apply(payload if multiple else [payload], 0 if multiple else None)
    report = _report(plan, payload, [part])
    return report.payload, report.errors, report.warnings


@dataclass(slots=True)
class Transformed:
    """What became of a run of records; `absent` counts, by (field, "missing" or "null")."""

    records: list[Any] = field(default_factory=list)
    errors: list[StepError] = field(default_factory=list)
    absent: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of each field, made ready; what was wrong with their names."""

    steps: Mapping[str, Sequence[Step]]
    errors: Sequence[StepError]
    libraries: tuple[str, ...]

    @classmethod
    def of(cls, transformations: Mapping[str, str | Sequence[str]]) -> Plan:
        steps: dict[str, list[Step]] = {}
        errors: list[StepError] = []
        for path, specs in transformations.items():
            steps[path] = []
            for spec in [specs] if isinstance(specs, str) else specs:
                try:
                    steps[path].append(parse_step(spec))
                except BadTransform as error:
                    errors.append(StepError(field=path, rule=spec, error=str(error)))
        names = {step.spec for chain in steps.values() for step in chain}
        libraries = phones.LIBRARIES if "normalize_phone" in names else ()
        return cls(steps, errors, libraries)

    def apply(self, records: Sequence[Any], start: int | None) -> Transformed:
        """`start` is the index of the first record, None for a single object."""
        out = Transformed()
        broken = {error.field for error in self.errors}
        for offset, original in enumerate(records):
            prefix = "" if start is None else f"[{start + offset}]."
            record = original
            for path, steps in self.steps.items():
                # With a step of unknown meaning left out, the later ones would only mislead.
                if path not in broken:
                    record = _field(record, path, steps, prefix, out)
            out.changed += record is not original
            out.records.append(record)
        return out


def _field(record: Any, path: str, steps: Sequence[Step], prefix: str, out: Transformed) -> Any:
    value = lookup(record, path)
    creates = bool(steps) and steps[0].creates and "." not in path and value is MISSING
    if not creates and (value is MISSING or value is None):
        out.absent[path, kind_of(value)] += 1
        return record
    result = None if value is MISSING else value
    for step in steps:
        try:
            result = step.apply(result, record)
        except Misfit as error:
            out.errors.append(
                StepError(
                    field=prefix + path,
                    rule=step.spec,
                    value_kind=kind_of(result),
                    error=str(error),
                )
            )
            return record
    return replaced(record, path, result)


def _report(plan: Plan, payload: Any, parts: Sequence[Transformed]) -> StepReport:
    records = [record for part in parts for record in part.records]
    errors = [*plan.errors, *(error for part in parts for error in part.errors)]
    counts = {
        "records": len(records),
        "records_changed": sum(part.changed for part in parts),
        "fields": len(plan.steps),
        "errors": len(errors),
    }
    absent = sum((part.absent for part in parts), Counter[tuple[str, str]]())
    multiple = isinstance(payload, list)
    warnings = [
        f"field {path!r} is {kind}"
        + (f" in {count} of {len(records)} records" if multiple else "")
        + ": left as it is"
        for (path, kind), count in absent.items()
    ]
    if errors:
        return StepReport(
            message=f"{_counted(len(errors), 'error')} in {_counted(len(records), 'record')}",
            status="failed",
            result=counts,
            errors=errors,
            warnings=warnings,
        )
    return StepReport(
        message=f"{_counted(counts['records_changed'], 'record')} transformed",
        changes=True,
        payload=records if multiple else records[0],
        result=counts,
        warnings=warnings,
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
