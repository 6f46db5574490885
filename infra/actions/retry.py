"""Retrying: always a new task, linked to the ended one, which never changes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import uuid_utils
from pydantic import BaseModel, ValidationError

from infra.actions.base import ActionRefused, Catalogue, NothingThere, Parts
from infra.actions.draft import times, without_times
from infra.checkpoints import Stored, find_checkpoints
from infra.codec import now
from infra.envelope import Envelope, TaskMessage
from infra.history.base import HistoryUnavailable, TaskRecord

HISTORY_LAG = 5.0
"""Seconds to wait for history to hear of an end that Redis knows."""

LOOK_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Draft:
    """A new task, and the checkpoints that it takes over."""

    envelope: Envelope
    inherited: Stored


async def draft_retry(
    parts: Parts,
    catalogue: Catalogue,
    routes: dict[str, str],
    task_id: str,
    *,
    from_step: int | str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> Draft:
    """A new task from an ended one. Raises `NothingThere`, or `ActionRefused` (`not_ended`,
    `unknown_step`, `checkpoint_missing`, `invalid_payload`)."""
    record = await _ended_record(parts, task_id)
    task_type = catalogue.type(record.type)
    handlers, body = tuple(record.handlers), without_times(record.payload or {})
    if payload is not None:
        model = _validated(catalogue.submission(record.type), record.type, payload)
        body = model.model_dump(mode="json", exclude_unset=True)
        handlers = tuple(task_type.plan(model))
    first = _index_of(handlers, from_step)
    inherited = await _inherited(parts, task_id, handlers, first)
    created = now()
    run_at, deadline = times(body, created)
    task = TaskMessage(
        id=str(uuid_utils.uuid7()),
        type=record.type,
        handlers=handlers,
        payload=body,
        created_at=created,
        name=body.get("task_name", record.name),
        run_at=run_at,
        deadline=deadline,
        retry_of=task_id,
        from_step=first,
    )
    return Draft(Envelope(catalogue.queue_of(record.type, routes), (task,)), inherited)


def derived_id(after: str, *parts: str) -> str:
    """The id of the task that comes of an action upon something: the same each time it is asked
    for, and later than the id `after` in the order of ids."""
    digest = bytearray(hashlib.sha256("\0".join((after, *parts)).encode()).digest()[:16])
    milliseconds = (UUID(after).int >> 80) + 1
    digest[:6] = milliseconds.to_bytes(6, "big")
    digest[6] = 0x70 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return str(UUID(bytes=bytes(digest)))


def with_id(drafted: Draft, task_id: str, created_at: datetime) -> Draft:
    """`created_at` is that of the id: lists go by either."""
    (task,) = drafted.envelope.tasks
    changed = drafted.envelope.single(task, id=task_id, created_at=created_at)
    return replace(drafted, envelope=changed)


async def _ended_record(parts: Parts, task_id: str) -> TaskRecord:
    """The task as history has it (only there is its payload), once history knows of its end."""
    state = await parts.state.get(task_id)
    record = await parts.history.get(task_id)
    if record is None and state is None:
        raise NothingThere("task", task_id)
    known = state or record
    if known is not None and not known.status.ended and not (record and record.status.ended):
        raise ActionRefused(
            "not_ended",
            f"Task {task_id} has not ended: it is {known.status.value}. Cancel it first.",
        )
    deadline = asyncio.get_running_loop().time() + HISTORY_LAG
    while record is None or record.payload is None or not record.status.ended:
        if asyncio.get_running_loop().time() > deadline:
            raise HistoryUnavailable(f"history has not heard of the end of {task_id} yet")
        await asyncio.sleep(LOOK_EVERY)
        record = await parts.history.get(task_id)
    return record


def _validated(model: type[BaseModel], type_name: str, payload: Mapping[str, Any]) -> BaseModel:
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False, include_context=False)
        raise ActionRefused(
            "invalid_payload",
            f"The payload is none for {type_name}: {items[0]['msg']}",
            errors=[dict(item) for item in items],
        ) from error


def _index_of(handlers: tuple[str, ...], from_step: int | str | None) -> int:
    if from_step is None:
        return 0
    index = handlers.index(from_step) if from_step in handlers else from_step
    if not isinstance(index, int) or not 0 <= index < len(handlers):
        raise ActionRefused(
            "unknown_step", f"There is no step {from_step!r}: the steps are {', '.join(handlers)}."
        )
    return index


async def _inherited(parts: Parts, task_id: str, handlers: tuple[str, ...], first: int) -> Stored:
    found = await find_checkpoints(parts.state, parts.history, task_id, first)
    wanted = [(index, handlers[index]) for index in range(first)]
    missing = [f"{handler} ({index})" for index, handler in wanted if (index, handler) not in found]
    if missing:
        raise ActionRefused(
            "checkpoint_missing",
            f"Task {task_id} has no output of {', '.join(missing)} to go on from: retry it from an "
            "earlier step.",
        )
    return {place: found[place] for place in wanted}
