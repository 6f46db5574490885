"""Drafting a task: its id, its pinned handlers, its times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import uuid_utils
from pydantic import BaseModel
from stepline.contract import TIMING

from infra.actions.base import Catalogue
from infra.codec import now
from infra.envelope import Envelope, TaskMessage


def draft(
    catalogue: Catalogue, routes: dict[str, str], type_name: str, payload: BaseModel
) -> Envelope:
    """A task of this type, pinned to the handlers that its type has planned for it now."""
    task_type = catalogue.type(type_name)
    body = payload.model_dump(mode="json", exclude_unset=True)
    created = now()
    run_at, deadline = times(body, created)
    task = TaskMessage(
        id=str(uuid_utils.uuid7()),
        type=type_name,
        handlers=tuple(task_type.plan(payload)),
        payload=body,
        created_at=created,
        name=body.get("task_name"),
        run_at=run_at,
        deadline=deadline,
    )
    return Envelope(catalogue.queue_of(type_name, routes), (task,))


def times(body: Mapping[str, Any], created: datetime) -> tuple[float, float]:
    """When to start and when no more, as epoch seconds; 0 where the body does not say."""
    run_at = _moment(body.get("delay"), body.get("run_at"), created)
    deadline = _moment(body.get("expires_in"), body.get("deadline"), created)
    deferred = run_at is not None and run_at > created
    return (
        run_at.timestamp() if run_at is not None and deferred else 0.0,
        deadline.timestamp() if deadline is not None else 0.0,
    )


def _moment(seconds: float | None, moment: str | None, created: datetime) -> datetime | None:
    if seconds is not None:
        return created + timedelta(seconds=seconds)
    return None if moment is None else datetime.fromisoformat(moment).astimezone(UTC)


def without_times(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a submission says what to do, without when."""
    return {name: value for name, value in body.items() if name not in TIMING}
