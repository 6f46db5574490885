"""`/bulk`: one action upon many tasks or dead letters, done a little at a time."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from stepline.contract import (
    BulkAction,
    BulkActions,
    BulkLinks,
    BulkPreview,
    BulkRequest,
    TaskError,
)

from api.body import StrictRoute
from api.deps import CallerDep, RegistryDep, ResourcesDep
from api.errors import RETRY_AFTER, ProblemError, not_found, responses
from infra.actions.bulk import Bulk, new_action
from infra.codec import now
from infra.history.base import BulkRecord

router = APIRouter(prefix="/bulk", tags=["control"], route_class=StrictRoute)


@router.post(
    "",
    status_code=202,
    response_model=BulkAction,
    responses={
        200: {"model": BulkPreview, "description": "A dry run: nothing is done."},
        **responses(400, 413, 415, 422, 503),
    },
)
async def begin(
    body: BulkRequest,
    resources: ResourcesDep,
    registry: RegistryDep,
    caller: CallerDep,
    response: Response,
) -> BulkAction | JSONResponse:
    """Retry or cancel tasks, replay or discard dead letters: those named, or all that a filter
    finds now. The cron process does it; look at `links.self` for how far it is. With `dry_run`
    only their number is told (200)."""
    where = body.filter.model_dump(mode="json", exclude_none=True) if body.filter else {}
    if body.ids is not None:
        where["ids"] = list(dict.fromkeys(body.ids))
    record = new_action(body.action, where, caller)
    record.total = await Bulk(resources, registry, resources.settings.routes).count(record)
    if body.dry_run:
        preview = BulkPreview(action=body.action, total=record.total)
        return JSONResponse(preview.model_dump(mode="json"))
    await resources.history.add_bulk_action(record)
    response.headers["Location"] = f"/bulk/{record.id}"
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return _view(record)


@router.get("", responses=responses(503))
async def list_actions(resources: ResourcesDep) -> BulkActions:
    """The newest actions."""
    return BulkActions(actions=[_view(item) for item in await resources.history.bulk_actions()])


@router.get("/{action_id}", responses=responses(404, 422, 503))
async def get_action(action_id: str, resources: ResourcesDep) -> BulkAction:
    """How far an action is."""
    return _view(await _find(resources, action_id))


@router.post("/{action_id}/abort", responses=responses(404, 409, 422, 503))
async def abort(action_id: str, resources: ResourcesDep) -> BulkAction:
    """Stop an action where it is. What it has done stays done."""
    await _find(resources, action_id)
    if not await resources.history.abort_bulk_action(action_id, now()):
        raise ProblemError(409, "already_ended", f"Action {action_id} has ended already.")
    return _view(await _find(resources, action_id))


async def _find(resources: ResourcesDep, action_id: str) -> BulkRecord:
    record = await resources.history.bulk_action(action_id)
    if record is None:
        raise not_found("bulk action", action_id)
    return record


def _view(record: BulkRecord) -> BulkAction:
    path = f"/bulk/{record.id}"
    fields = {name: getattr(record, name) for name in BulkAction.model_fields if name != "links"}
    fields["error"] = None if record.error is None else TaskError(**record.error)
    return BulkAction(**fields, links=BulkLinks(self=path, abort=f"{path}/abort"))
