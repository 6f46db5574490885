"""Types with a schedule: a task at each of their times, once however many processes look.

The task's id is derived from the type and the time. Whoever dies between the submission and its
note is followed by another that submits the same id, which is the same task.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from cronsim import CronSim
from stepline.authoring import TaskType

from handlers.registry import Registry
from infra.actions.accept import accept
from infra.actions.draft import draft
from infra.broker.base import BrokerError
from infra.codec import now
from infra.history.base import HistoryUnavailable
from infra.resources import Resources
from infra.state.redis import StateUnavailable

log = structlog.get_logger(__name__)


async def submit_scheduled(resources: Resources, registry: Registry) -> int:
    """Submit what has come due since the last look. Of several missed times of one type only the
    latest: a service that was down for a night does not run a night's worth at once."""
    count = 0
    for item in registry.types:
        try:
            count += await _look(resources, registry, item)
        except (BrokerError, StateUnavailable, HistoryUnavailable):
            raise
        except Exception:  # the author's mistake, in a plan perhaps: the other types are kept
            log.exception("schedule_failed", type=item.name)
    return count


async def _look(resources: Resources, registry: Registry, item: TaskType) -> bool:
    """Whether one was due."""
    if item.schedule is None:
        return False
    moment = now()
    last = await resources.schedules.last(item.name, moment)
    due = latest_due(item, last, moment)
    if due is None:
        return False
    task_id = await _submit(resources, registry, item, due)
    await resources.schedules.seen_to(item.name, due, task_id)
    return True


def latest_due(item: TaskType, after: datetime, until: datetime) -> datetime | None:
    """The latest time of the schedule in (after, until], or None. Looks back from `until`: since
    `after` there may have been a million."""
    if item.schedule is None:
        return None
    # one second more: a time that is `until` itself counts
    start = (until + timedelta(seconds=1)).astimezone(ZoneInfo(item.timezone))
    for moment in CronSim(item.schedule, start, reverse=True):
        due = moment.astimezone(UTC)
        if due <= until:
            return due if due > after else None
    return None


def scheduled_id(type_name: str, due: datetime) -> str:
    """The same for the same type and time, and ordered by time as every task id is."""
    digest = bytearray(hashlib.sha256(f"{type_name}\0{due.isoformat()}".encode()).digest()[:16])
    digest[:6] = int(due.timestamp() * 1000).to_bytes(6, "big")
    digest[6] = 0x70 | digest[6] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return str(UUID(bytes=bytes(digest)))


async def _submit(resources: Resources, registry: Registry, item: TaskType, due: datetime) -> str:
    payload = registry.submission(item.name).model_validate(dict(item.schedule_payload))
    envelope = draft(registry, resources.settings.routes, item.name, payload)
    (task,) = envelope.tasks
    task = replace(task, id=scheduled_id(item.name, due), created_at=due)
    await accept(resources, envelope.single(task))
    await resources.state.confirm(task.id)
    log.info("scheduled_task_submitted", type=item.name, due=due.isoformat(), task_id=task.id)
    return task.id
