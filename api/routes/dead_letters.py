"""`/dead-letters`: what nobody could work off, to look at, replay or discard."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from stepline.contract import Accepted, DeadLetter, DeadLetterPage

from api.accept import AcceptanceDep
from api.body import StrictRoute
from api.cursor import read_cursor, write_cursor
from api.deps import CallerDep, RegistryDep, ResourcesDep
from api.errors import not_found, responses
from api.routes.submit import ANSWERS
from api.times import utc
from api.views import task_error
from infra.actions.dead_letters import DISCARDED, REPLAYED, draft_replay, find_open, resolve
from infra.codec import JSONDecodeError, loads
from infra.history.base import TOTAL_CAP, DeadLetterFilter, DeadLetterRecord

router = APIRouter(prefix="/dead-letters", tags=["dead letters"], route_class=StrictRoute)


@router.get("", responses=responses(422, 503))
async def list_dead_letters(
    *,
    resources: ResourcesDep,
    reason: Annotated[str | None, Query(max_length=100)] = None,
    queue: Annotated[str | None, Query(max_length=100)] = None,
    type: Annotated[str | None, Query(max_length=100)] = None,  # noqa: A002
    since: datetime | None = None,
    until: datetime | None = None,
    resolved: bool | None = False,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> DeadLetterPage:
    """Newest first; those that nobody has seen to yet, unless `resolved` says otherwise."""
    where = DeadLetterFilter(
        reason, queue, type, utc(since, "since"), utc(until, "until"), resolved
    )
    after = None if cursor is None else read_cursor(cursor)
    letters = await resources.history.dead_letters(where, after=after, limit=limit + 1)
    total = await resources.history.count_dead_letters(where)
    more = len(letters) > limit
    return DeadLetterPage(
        dead_letters=[_view(letter) for letter in letters[:limit]],
        next=write_cursor(letters[limit - 1].id) if more else None,
        total=min(total, TOTAL_CAP),
        total_capped=total > TOTAL_CAP,
        limit=limit,
    )


@router.get("/{letter_id}", responses=responses(404, 422, 503))
async def get_dead_letter(letter_id: str, resources: ResourcesDep) -> DeadLetter:
    """One of them, with the message that it was."""
    letter = await resources.history.dead_letter(letter_id)
    if letter is None:
        raise not_found("dead letter", letter_id)
    return _view(letter, message=_readable(letter.body))


@router.post(
    "/{letter_id}/replay",
    status_code=202,
    response_model=Accepted,
    responses=ANSWERS | responses(404),
)
async def replay(
    letter_id: str,
    resources: ResourcesDep,
    registry: RegistryDep,
    caller: CallerDep,
    accept: AcceptanceDep,
) -> Response:
    """A new task that does what this one's was to do, linked by `retry_of`."""
    letter = await find_open(resources, letter_id)
    drafted = draft_replay(registry, resources.settings.routes, letter)
    # by a key of its own: asked for twice at once, or again after a crash, it is one task
    key = f"stepline:replay:{letter.id}"
    accepted = await accept.drafted(drafted.envelope, drafted.inherited, key=key)
    task_id = accepted.headers["location"].split("/")[2]
    await resolve(resources, letter.id, REPLAYED, caller, task_id)
    return accepted


@router.post("/{letter_id}/discard", responses=responses(404, 409, 422, 503))
async def discard(letter_id: str, resources: ResourcesDep, caller: CallerDep) -> DeadLetter:
    """Nothing will come of it. It stays to be seen among the resolved."""
    await find_open(resources, letter_id)
    await resolve(resources, letter_id, DISCARDED, caller)
    letter = await resources.history.dead_letter(letter_id)
    if letter is None:
        raise not_found("dead letter", letter_id)
    return _view(letter)


def _readable(body: bytes) -> Any:
    try:
        return loads(body)
    except JSONDecodeError:
        return body.decode(errors="replace")


def _view(letter: DeadLetterRecord, message: Any = None) -> DeadLetter:
    return DeadLetter(
        id=letter.id,
        reason=letter.reason,
        queue=letter.queue,
        task_id=letter.task_id,
        task_type=letter.task_type,
        died_at=letter.died_at,
        error=task_error(letter.error),
        size_bytes=len(letter.body),
        message=message,
        resolution=letter.resolution,
        resolved_at=letter.resolved_at,
        resolved_by=letter.resolved_by,
        replayed_as=letter.replayed_as,
    )
