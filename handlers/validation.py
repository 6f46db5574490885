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
    found = await by_chunks(
        ctx,
        payload,
        lambda records, start: plan.violations(records, start if multiple else None),
        libraries=plan.libraries,
    )
    errors = [*plan.bad_patterns, *(error for part in found for error in part)]
    report = _report(plan, payload, errors)
    if errors:
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
    return [*plan.bad_patterns, *plan.violations(records, start)]


@dataclass(frozen=True, slots=True)
class Plan:
    """Required fields and rules, made ready to run over many records."""

    required: tuple[str, ...]
    checks: Mapping[str, Sequence[NamedCheck]]
    rules: int
    bad_patterns: Sequence[StepError]
    libraries: tuple[str, ...]

    @classmethod
    def of(cls, required: Sequence[str], rules: Mapping[str, ValidationRule]) -> Plan:
        checks: dict[str, Sequence[NamedCheck]] = {}
        bad: list[StepError] = []
        for path, rule in rules.items():
            try:
                checks[path] = checks_of(rule)
            except BadPattern as error:
                bad.append(StepError(field=path, rule="pattern", error=str(error)))
                checks[path] = checks_of(rule.model_copy(update={"pattern": None}))
        asked = [*required, *(path for path, rule in rules.items() if rule.required)]
        types = {rule.type for rule in rules.values()}
        libraries = phones.LIBRARIES if "phone" in types else ()
        return cls(tuple(dict.fromkeys(asked)), checks, len(rules), bad, libraries)

    def violations(self, records: Sequence[Any], start: int | None) -> list[StepError]:
        """Those of `records`; `start` is the index of the first, None for a single object."""
        errors: list[StepError] = []
        for offset, record in enumerate(records):
            prefix = "" if start is None else f"[{start + offset}]."
            if not isinstance(record, Mapping):
                errors.append(_not_an_object(prefix, record))
                continue
            for path in self.required:
                errors += _required_violation(record, path, prefix)
            for path, checks in self.checks.items():
                errors += _rule_violations(record, path, checks, prefix)
        return errors


def _not_an_object(prefix: str, record: Any) -> StepError:
    return StepError(
        field=prefix.removesuffix(".") or None,
        rule="type",
        value_kind=kind_of(record),
        error="each record must be an object",
    )


def _required_violation(record: Any, path: str, prefix: str) -> list[StepError]:
    value = lookup(record, path)
    if value is MISSING or value is None:
        state = kind_of(value)
    elif isinstance(value, str) and not value.strip():
        state = "empty"
    else:
        return []
    error = f"is required and {state}"
    field = prefix + path
    return [StepError(field=field, rule="required", value_kind=kind_of(value), error=error)]


def _rule_violations(
    record: Any, path: str, checks: Sequence[NamedCheck], prefix: str
) -> list[StepError]:
    value = lookup(record, path)
    if value is MISSING or value is None:
        return []
    errors: list[StepError] = []
    kind = kind_of(value)
    for named in checks:
        # One cause, one error: a value of the wrong type is not also told that it has no length.
        if named.measures and errors and not _measurable(named.rule, value):
            continue
        problem = named.check(value, record)
        if problem is not None:
            field = prefix + path
            errors.append(StepError(field=field, rule=named.rule, value_kind=kind, error=problem))
    return errors


def _measurable(rule: str, value: Any) -> bool:
    if rule == "pattern":
        return isinstance(value, str)
    if rule.endswith("_length"):
        return isinstance(value, str | list | Mapping)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _report(plan: Plan, payload: Any, errors: Sequence[StepError]) -> StepReport:
    records = len(payload) if isinstance(payload, list) else 1
    counts = {
        "records": records,
        "required_fields": len(plan.required),
        "rules": plan.rules,
        "violations": len(errors),
    }
    if not errors:
        checked = _counted(records, "record")
        warnings = [] if records else ["the payload is an empty list: there was nothing to check"]
        return StepReport(message=f"{checked} valid", result=counts, warnings=warnings)
    message = _counted(len(errors), "violation")
    if isinstance(payload, list):
        # "[3].email" and "[3].address.city" are of one record.
        fields = [error.field for error in errors if error.field and error.field.startswith("[")]
        bad = {field.split(".", 1)[0] for field in fields}
        message += f" in {len(bad)} of {_counted(records, 'record')}"
    return StepReport(message=message, status="failed", result=counts, errors=list(errors))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
