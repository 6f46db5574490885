"""`/users/`: the people that `batch` works on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from stepline.authoring import UserRecord
from stepline.contract import FieldProblem, NewUser, User, UserChange, UserPage

from api.body import StrictRoute
from api.deps import ResourcesDep
from api.errors import ProblemError, not_found, responses
from infra.history.base import UserConflict

router = APIRouter(prefix="/users", tags=["users"], route_class=StrictRoute)

UserId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/", responses=responses(422, 503))
async def list_users(
    resources: ResourcesDep,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> UserPage:
    """Users, by id."""
    users = await resources.history.list_users(offset=offset, limit=limit)
    return UserPage(
        total=await resources.history.count_users(), users=[_view(user) for user in users]
    )


@router.post("/", status_code=201, responses=responses(400, 409, 413, 415, 422, 503))
async def create_user(body: NewUser, resources: ResourcesDep, response: Response) -> User:
    """A new user; username and e-mail are unique."""
    try:
        user = await resources.history.create_user(body.username, body.email)
    except UserConflict as conflict:
        raise _taken(conflict) from conflict
    response.headers["Location"] = f"/users/{user.id}"
    return _view(user)


@router.get("/{user_id}", responses=responses(404, 422, 503))
async def get_user(user_id: UserId, resources: ResourcesDep) -> User:
    """One user."""
    users = await resources.history.get_users([user_id])
    if user_id not in users:
        raise not_found("user", user_id)
    return _view(users[user_id])


@router.patch("/{user_id}", responses=responses(400, 404, 409, 413, 415, 422, 503))
async def change_user(user_id: UserId, body: UserChange, resources: ResourcesDep) -> User:
    """Change what is given; the rest stays."""
    try:
        user = await resources.history.update_user(
            user_id, username=body.username, email=body.email
        )
    except UserConflict as conflict:
        raise _taken(conflict) from conflict
    if user is None:
        raise not_found("user", user_id)
    return _view(user)


@router.delete("/{user_id}", status_code=204, responses=responses(404, 422, 503))
async def delete_user(user_id: UserId, resources: ResourcesDep) -> None:
    """Remove a user."""
    if not await resources.history.delete_user(user_id):
        raise not_found("user", user_id)


def _view(user: UserRecord) -> User:
    return User(id=user.id, username=user.username, email=user.email, created_at=user.created_at)


def _taken(conflict: UserConflict) -> ProblemError:
    message = f"another user has this {conflict.field}"
    problem = FieldProblem(field=conflict.field, message=message, code="taken")
    return ProblemError(409, "conflict", f"{conflict.field}: {message}", errors=[problem])
