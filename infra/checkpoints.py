"""A task's checkpoints, wherever they still are: in Redis, in history, or with the task that it was
retried from."""

from __future__ import annotations

from stepline.contract import EventKind

from infra.codec import dumps
from infra.history.base import AttemptRecord, History
from infra.state.store import State

LONGEST_LINE = 1_000
"""Retries of retries that are followed back."""

SKIPPED = b"-"
"""In the place of the output of a step that was left out; no JSON text is this."""

Stored = dict[tuple[int, str], bytes]


async def find_checkpoints(state: State, history: History, task_id: str, before: int) -> Stored:
    """The outputs of the steps with an index below `before`, by (index, handler), as they are
    stored. Those that nobody has any more are left out."""
    found: Stored = {}
    wanted: str | None = task_id
    for _ in range(LONGEST_LINE):
        if wanted is None or before == 0:
            break
        _add(found, await state.steps(wanted), before)
        if _complete(found, before):
            break
        record = await history.get(wanted)
        if record is None:
            break
        for attempt in await history.attempts(wanted):
            _add(found, _kept(attempt, record.from_step), before)
        if _complete(found, before):
            break
        wanted, before = record.retry_of, min(before, record.from_step)
    return found


def _kept(attempt: AttemptRecord, own: int) -> Stored:
    """What an attempt completed, and what its conditions left out. The steps before `own` were
    taken over from another task, which knows whether it had run them."""
    kept: Stored = {
        (event["index"], event["handler"]): SKIPPED
        for event in attempt.events
        if event["kind"] == EventKind.STEP_SKIPPED and event["index"] >= own
    }
    return kept | {
        (item["index"], item["handler"]): dumps(item["output"]) for item in attempt.outputs
    }


def _add(found: Stored, more: Stored, before: int) -> None:
    for place, output in more.items():
        if place[0] < before:
            found.setdefault(place, output)


def _complete(found: Stored, before: int) -> bool:
    return {index for index, _ in found} >= set(range(before))
