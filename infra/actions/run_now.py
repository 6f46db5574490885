"""Running a deferred task now, in the place of its time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog
from stepline.contract import Status

from infra.actions.base import ActionRefused, NothingThere, Parts
from infra.actions.retry import HISTORY_LAG, LOOK_EVERY
from infra.broker.base import BrokerError
from infra.codec import now
from infra.envelope import Envelope
from infra.history.base import HistoryUnavailable, TaskRecord
from infra.records import message_of
from infra.state.models import TaskState

log = structlog.get_logger(__name__)


async def run_now(parts: Parts, task_id: str) -> None:
    """Bring its time forward to now, and publish it; if the broker is away, cron does that. Raises
    `NothingThere`, or `ActionRefused` (`already_ended`, `not_scheduled`)."""
    record = await _waiting_record(parts, task_id)
    at = now()
    await parts.state.bring_forward(task_id, at)
    if not await parts.history.bring_forward(task_id, at):
        raise _gone_on(task_id, Status.PENDING)
    due = replace(record, run_at=at, due_at=None)
    try:
        await parts.broker.send(due.queue, Envelope(due.queue, (message_of(due),)).message())
    except BrokerError as error:
        log.warning("release_left_to_cron", task_id=task_id, error=str(error))
        return
    await parts.history.released([task_id], now())
    await parts.state.release(task_id)


async def _waiting_record(parts: Parts, task_id: str) -> TaskRecord:
    """The task as history keeps it for its time, once history has heard of it."""
    deadline = asyncio.get_running_loop().time() + HISTORY_LAG
    while True:
        state = await parts.state.get(task_id)
        record = await parts.history.get(task_id)
        _check(task_id, state, record)
        if record is not None and record.due_at is not None:
            return record
        if asyncio.get_running_loop().time() > deadline:
            raise HistoryUnavailable(f"history has not heard of {task_id} yet")
        await asyncio.sleep(LOOK_EVERY)


def _check(task_id: str, state: TaskState | None, record: TaskRecord | None) -> None:
    """Raises unless it waits for its time, by all that is known."""
    known = state or record
    if known is None:
        raise NothingThere("task", task_id)
    for each in (state, record):
        if each is not None and each.status.ended:
            raise ActionRefused(
                "already_ended", f"Task {task_id} has ended already: {each.status.value}."
            )
    if known.status is not Status.SCHEDULED:
        raise _gone_on(task_id, known.status)


def _gone_on(task_id: str, status: Status) -> ActionRefused:
    return ActionRefused(
        "not_scheduled", f"Task {task_id} does not wait for its time: it is {status.value}."
    )
