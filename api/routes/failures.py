"""`/failures`: what failed, by its cause; mark it as seen to."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from stepline.contract import FailureGroup, FailureGroups, Resolution

from api.body import StrictRoute
from api.deps import CallerDep, ResourcesDep
from api.errors import ProblemError, not_found, responses
from infra.codec import now
from infra.history.operations import FailureFilter
from infra.history.operations import FailureGroup as Group
from infra.resources import Resources

router = APIRouter(prefix="/failures", tags=["operations"], route_class=StrictRoute)


@router.get("", responses=responses(422, 503))
async def list_failures(
    *,
    resources: ResourcesDep,
    window: Annotated[
        int | None, Query(ge=1, le=10 * 366 * 86_400, description="Seen within so many seconds.")
    ] = None,
    type: Annotated[str | None, Query(max_length=100)] = None,  # noqa: A002
    state: Annotated[Literal["open", "resolved"] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> FailureGroups:
    """Failed tasks by their cause, the last seen first. `GET /tasks/?fingerprint=…` lists those of
    one, and `POST /bulk` with that filter retries them."""
    where = FailureFilter(
        since=None if window is None else now() - timedelta(seconds=window),
        type=type,
        resolved=None if state is None else state == "resolved",
    )
    groups = await resources.history.failure_groups(where, limit=limit + 1)
    return FailureGroups(
        failures=[_view(group) for group in groups[:limit]], more=len(groups) > limit
    )


@router.get("/{fingerprint}", responses=responses(404, 422, 503))
async def get_failure(fingerprint: str, resources: ResourcesDep) -> FailureGroup:
    """One group."""
    return _view(await _find(resources, fingerprint))


@router.post("/{fingerprint}/resolve", responses=responses(404, 409, 422, 503))
async def resolve(fingerprint: str, resources: ResourcesDep, caller: CallerDep) -> FailureGroup:
    """Somebody has seen to it. The next failure of the same cause opens it again."""
    await _find(resources, fingerprint)
    if not await resources.history.resolve_failures(fingerprint, by=caller, at=now()):
        raise ProblemError(409, "already_resolved", f"Group {fingerprint} is resolved already.")
    return _view(await _find(resources, fingerprint))


@router.post("/{fingerprint}/reopen", responses=responses(404, 409, 422, 503))
async def reopen(fingerprint: str, resources: ResourcesDep) -> FailureGroup:
    """It is not seen to after all."""
    await _find(resources, fingerprint)
    if not await resources.history.reopen_failures(fingerprint):
        raise ProblemError(409, "already_open", f"Group {fingerprint} is open.")
    return _view(await _find(resources, fingerprint))


async def _find(resources: Resources, fingerprint: str) -> Group:
    group = await resources.history.failure_group(fingerprint)
    if group is None:
        raise not_found("group of failures", fingerprint)
    return group


def _view(group: Group) -> FailureGroup:
    resolved = None
    if group.resolved_by is not None and group.resolved_at is not None:
        resolved = Resolution(by=group.resolved_by, at=group.resolved_at)
    names = [name for name in FailureGroup.model_fields if name != "resolved"]
    return FailureGroup(**{name: getattr(group, name) for name in names}, resolved=resolved)
