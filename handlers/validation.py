"""The validation handler: every rule on every record, and every violation told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepline.authoring import Context, handler
from stepline.contract import ChainItem, ValidationRule
from stepline.errors import Reject

from handlers import phones
from handlers.fieldpaths import MISSING, kind_of, lookup
from handlers.findings import MOST_LISTED, Findings, counted, together
from handlers.offload import by_chunks
from handlers.report import StepError, StepReport, current_payload
from handlers.validation_rules import BadPattern, NamedCheck, checks_of


@handler
async def validation(ctx: Context, item: ChainItem) -> dict[str, Any]:
    """Check the payload against `required_fields` and `validation_rules`.

    Returns a report whose `result` counts records, required fields, rules and violations. Raises
    `Reject` (code `validation_failed`) with the whole report as its output where anything is
    violated.
    """
    payload = current_payload(ctx, item)
    plan = Plan.of(item.data.required_fields, item.data.validation_rules)
    multiple = isinstance(payload, list)
    parts = await by_chunks(
        ctx,
        payload,
        lambda records, start: plan.check(records, start if multiple else None),
        libraries=plan.libraries,
    )
    found = together([plan.patterns, *parts])
    report = _report(plan, payload, found)
    if found.count:
        raise Reject(report.message, code="validation_failed", output=report.dump())
    return report.dump()


def validate_payload(
    payload: Any,
    required_fields: Sequence[str] = (),
    rules: Mapping[str, ValidationRule] | None = None,
) -> list[StepError]:
    """Every violation in `payload` (an object, or a list of objects), in the order of the data.

    A field that is absent or null is "not given": a violation where it is required (so is an empty
    string), else its rules are skipped. A bad pattern is one violation, not one for each record.
    """
    plan = Plan.of(required_fields, rules or {})
    records = payload if isinstance(payload, list) else [payload]
    start = 0 if isinstance(payload, list) else None
    found = plan.check(records, start, limit=None)
    return together([plan.patterns, found], limit=None).errors


@dataclass(frozen=True, slots=True)
class Plan:
    """Required fields and rules, made ready to run over many records."""

    required: tuple[str, ...]
    checks: Mapping[str, Sequence[NamedCheck]]
    rules: int
    patterns: Findings
    """Those that are invalid."""
    libraries: tuple[str, ...]

    @classmethod
    def of(cls, required: Sequence[str], rules: Mapping[str, ValidationRule]) -> Plan:
        checks: dict[str, Sequence[NamedCheck]] = {}
        patterns = Findings()
        for path, rule in rules.items():
            try:
                checks[path] = checks_of(rule)
            except BadPattern as error:
                patterns.add(field=path, rule="pattern", error=str(error))
                checks[path] = checks_of(rule.model_copy(update={"pattern": None}))
        asked = [*required, *(path for path, rule in rules.items() if rule.required)]
        types = {rule.type for rule in rules.values()}
        libraries = phones.LIBRARIES if "phone" in types else ()
        return cls(tuple(dict.fromkeys(asked)), checks, len(rules), patterns, libraries)

    def check(
        self, records: Sequence[Any], start: int | None, limit: int | None = MOST_LISTED
    ) -> Findings:
        """What `records` violate; `start` is the index of the first, None for a single object."""
        found = Findings(limit)
        for offset, record in enumerate(records):
            before = found.count
            self._check(record, "" if start is None else f"[{start + offset}].", found)
            found.records += found.count > before
        return found

    def _check(self, record: Any, prefix: str, found: Findings) -> None:
        if not isinstance(record, Mapping):
            found.add(
                field=prefix.removesuffix(".") or None,
                rule="type",
                value_kind=kind_of(record),
                error="each record must be an object",
            )
            return
        for path in self.required:
            _check_required(record, path, prefix, found)
        for path, checks in self.checks.items():
            _check_rules(record, path, checks, prefix, found)


def _check_required(record: Any, path: str, prefix: str, found: Findings) -> None:
    value = lookup(record, path)
    if value is MISSING or value is None:
        state = kind_of(value)
    elif isinstance(value, str) and not value.strip():
        state = "empty"
    else:
        return
    found.add(
        field=prefix + path,
        rule="required",
        value_kind=kind_of(value),
        error=f"is required and {state}",
    )


def _check_rules(
    record: Any, path: str, checks: Sequence[NamedCheck], prefix: str, found: Findings
) -> None:
    value = lookup(record, path)
    if value is MISSING or value is None:
        return
    kind = kind_of(value)
    failed = False
    for named in checks:
        # One cause, one error: a value of the wrong type is not also told that it has no length.
        if named.measures and failed and not _measurable(named.rule, value):
            continue
        problem = named.check(value, record)
        if problem is not None:
            failed = True
            found.add(field=prefix + path, rule=named.rule, value_kind=kind, error=problem)


def _measurable(rule: str, value: Any) -> bool:
    if rule == "pattern":
        return isinstance(value, str)
    if rule.endswith("_length"):
        return isinstance(value, str | list | Mapping)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _report(plan: Plan, payload: Any, found: Findings) -> StepReport:
    records = len(payload) if isinstance(payload, list) else 1
    counts = {
        "records": records,
        "required_fields": len(plan.required),
        "rules": plan.rules,
        "violations": found.count,
    }
    if not found.count:
        message = f"{counted(records, 'record')} valid"
        warnings = [] if records else ["the payload is an empty list: there was nothing to check"]
        return StepReport(message=message, result=counts, warnings=warnings)
    message = counted(found.count, "violation")
    if isinstance(payload, list):
        message += f" in {found.records} of {counted(records, 'record')}"
    return StepReport(
        message=message,
        status="failed",
        result=counts,
        errors=found.errors,
        warnings=found.unlisted,
    )
