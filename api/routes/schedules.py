"""`/schedules`: types that are submitted by the clock; submit one now."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

from cronsim import CronSim
from fastapi import APIRouter, Response
from stepline.authoring import TaskType
from stepline.contract import Accepted, Schedule, Schedules

from api.accept import AcceptanceDep
from api.deps import RegistryDep, ResourcesDep
from api.errors import not_found, responses
from api.routes.submit import ANSWERS
from handlers.registry import Registry
from infra.codec import now
from infra.state.schedules import Submitted

router = APIRouter(prefix="/schedules", tags=["operations"])


@router.get("", responses=responses(503))
async def list_schedules(resources: ResourcesDep, registry: RegistryDep) -> Schedules:
    """The types with a schedule, by name: when cron submits the next, and which was the last."""
    submitted = await resources.schedules.submitted()
    return Schedules(
        schedules=[
            _view(item, item.schedule, submitted.get(item.name))
            for item in sorted(registry.types, key=lambda item: item.name)
            if item.schedule is not None
        ]
    )


@router.post(
    "/{type_name}/run",
    status_code=202,
    response_model=Accepted,
    responses=ANSWERS | responses(404),
)
async def run_schedule(type_name: str, registry: RegistryDep, accept: AcceptanceDep) -> Response:
    """Submit a task of the type now, with its schedule's payload. The schedule goes on as it is."""
    item = _find(registry, type_name)
    payload = registry.submission(type_name).model_validate(dict(item.schedule_payload))
    return await accept(type_name, payload)


def _find(registry: Registry, type_name: str) -> TaskType:
    for item in registry.types:
        if item.name == type_name and item.schedule is not None:
            return item
    raise not_found("schedule of a type", type_name)


def _view(item: TaskType, schedule: str, last: Submitted | None) -> Schedule:
    upcoming = next(CronSim(schedule, now().astimezone(ZoneInfo(item.timezone))))
    return Schedule(
        type=item.name,
        schedule=schedule,
        timezone=item.timezone,
        next_at=upcoming.astimezone(UTC),
        last_at=last.at if last is not None else None,
        last_task_id=last.task_id if last is not None else None,
    )
