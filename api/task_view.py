"""The whole task as the API shows it: its attempts step by step, its log lines, its outputs.

Both sources tell it by the same events: Redis while it lives there, history afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from stepline.authoring import JSON
from stepline.contract import Attempt, AttemptStep, EventKind, LogLine

from api.views import fold_steps, task_error
from infra.checkpoints import SKIPPED
from infra.codec import dumps, loads, moment

MAX_EVENTS = 1_000
"""Of one attempt."""

MAX_OUTPUT = 100_000
"""Bytes of one step's output; a larger one is left out."""

Outcome = Literal["running", "succeeded", "failed", "retrying", "cancelled", "lost"]

OUTCOMES: dict[str, Outcome] = {
    EventKind.SUCCEEDED: "succeeded",
    EventKind.FAILED: "failed",
    EventKind.RETRY_SCHEDULED: "retrying",
    EventKind.CANCELLED: "cancelled",
}

Entries = Sequence[Mapping[str, Any]]
Outputs = Mapping[int, tuple[JSON, bool]]
"""(output, left out) by the step's index."""


def number_of(event: Mapping[str, Any]) -> int:
    """The attempt in which an event happened."""
    return int(event["id"].partition("-")[0])


def attempt_views(
    handlers: Sequence[str], events: Entries, outputs: Outputs, *, ended: bool
) -> list[Attempt]:
    """The attempts, in order; `events` are the task's, in order, each with its `id`."""
    claims = [
        (number, list(group)) for number, group in groupby(events, key=number_of) if number > 0
    ]
    found = [_attempt(handlers, number, group, outputs) for number, group in claims]
    for place, attempt in enumerate(found, 1):
        later = found[place] if place < len(found) else None
        if attempt.outcome == "running" and (later is not None or ended):
            attempt.outcome = "lost"
            attempt.finished_at = None if later is None else later.started_at
            _lose(attempt)
    return found


def _attempt(
    handlers: Sequence[str], number: int, events: list[Mapping[str, Any]], outputs: Outputs
) -> Attempt:
    # a task that waits for its next attempt may be cancelled: that is not this attempt's end
    last = next((event for event in events if event["kind"] in OUTCOMES), events[-1])
    outcome = OUTCOMES.get(last["kind"], "running")
    first = events[0] if events[0]["kind"] == EventKind.STARTED else {}
    kept = [event for event in events if event["kind"] != EventKind.STEP_PROGRESS]
    return Attempt(
        attempt=number,
        worker=first.get("worker"),
        outcome=outcome,
        started_at=moment(first["at"]) if first else None,
        finished_at=None if outcome == "running" else moment(last["at"]),
        error=task_error(last.get("error")),
        steps=_steps(handlers, events, outputs),
        events=[dict(event) for event in kept[-MAX_EVENTS:]],
        events_left_out=max(0, len(kept) - MAX_EVENTS),
    )


def _steps(
    handlers: Sequence[str], events: Iterable[Mapping[str, Any]], outputs: Outputs
) -> list[AttemptStep]:
    """The steps that this attempt came to."""
    found = []
    for step in fold_steps(handlers, events):
        if step.status == "waiting":
            continue
        output, left_out = outputs.get(step.index, (None, False))
        shown = AttemptStep(**step.model_dump())
        if step.status == "completed":
            shown.output, shown.output_left_out = output, left_out
        if step.started_at is not None and step.finished_at is not None:
            shown.duration = (step.finished_at - step.started_at).total_seconds()
        found.append(shown)
    return found


def _lose(attempt: Attempt) -> None:
    """What ran when the worker died runs no more."""
    for step in attempt.steps:
        if step.status == "running":
            step.status, step.finished_at = "failed", attempt.finished_at
            step.message = "its worker was lost"


def log_lines(events: Entries) -> list[LogLine]:
    """What the handlers wrote through their contexts, in order."""
    return [LogLine.model_validate(event) for event in events if event["kind"] == EventKind.LOG]


def stored_outputs(steps: Mapping[tuple[int, str], bytes]) -> Outputs:
    """The outputs by Redis' checkpoints: texts of JSON, `@` and the name of a blob in the exports
    store, or `-` of a step that was left out."""
    return {
        index: (loads(stored), False)
        if len(stored) <= MAX_OUTPUT and not stored.startswith(b"@")
        else (None, True)
        for (index, _), stored in steps.items()
        if stored != SKIPPED
    }


def recorded_outputs(items: Iterable[Mapping[str, Any]]) -> Outputs:
    """The outputs as history keeps them."""
    return {
        item["index"]: (item["output"], False)
        if len(dumps(item["output"])) <= MAX_OUTPUT
        else (None, True)
        for item in items
    }
