"""Cancelling: a waiting task ends here and now, a running one's worker is told."""

from __future__ import annotations

import structlog
from stepline.contract import EventKind, Status

from infra.actions.base import ActionRefused, NothingThere, Parts
from infra.broker.base import BrokerError
from infra.cancellation import Cancellation
from infra.codec import loads
from infra.records import history_message, message_of, record_from_state
from infra.state.models import Closed, Ended, Held, Missing

log = structlog.get_logger(__name__)


async def cancel(parts: Parts, task_id: str, cancellation: Cancellation) -> Status:
    """CANCELLED if it has ended now, RUNNING if its worker has been told. Raises `NothingThere`,
    or `ActionRefused` with the code `already_ended`."""
    while True:
        answer = await parts.state.end(
            task_id,
            EventKind.CANCELLED,
            Status.CANCELLED,
            cancellation.error(),
            flag=cancellation.to_json(),
        )
        match answer:
            case Closed():
                await _tell_history(parts, task_id)
                return Status.CANCELLED
            case Held():
                await parts.state.call_off(task_id)
                return Status.RUNNING
            case Ended(status=status):
                raise _ended(task_id, status)
            case Missing():
                await _bring_back(parts, task_id)


async def _bring_back(parts: Parts, task_id: str) -> None:
    """Redis has forgotten the task: from history, so that it can be ended like any other."""
    record = await parts.history.get(task_id)
    if record is None:
        raise NothingThere("task", task_id)
    if record.status.ended:
        raise _ended(task_id, record.status)
    await parts.state.submit(record.queue, message_of(record))
    await parts.state.confirm(task_id)


async def _tell_history(parts: Parts, task_id: str) -> None:
    """If this fails, whoever meets the task's message, or the rescue, does it."""
    state = await parts.state.get(task_id)
    if state is None:
        return
    steps = await parts.state.steps(task_id)
    outputs = [
        {"index": index, "handler": handler, "output": loads(stored)}
        for (index, handler), stored in sorted(steps.items())
        if not stored.startswith((b"@", b"-"))  # in the exports store, where it stays; or skipped
    ]
    record = record_from_state(state, await parts.state.events(task_id), outputs)
    queue, message = history_message(record)
    try:
        await parts.broker.send(queue, message)
    except BrokerError as error:
        log.warning("cancellation_not_recorded_yet", task_id=task_id, error=str(error))


def _ended(task_id: str, status: Status) -> ActionRefused:
    return ActionRefused("already_ended", f"Task {task_id} has ended already: {status.value}.")
