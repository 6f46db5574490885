"""`GET /task-types`, and a `POST /tasks/{type}` for each type that another package brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel
from stepline.authoring import TaskType
from stepline.contract import Accepted, TaskTypeInfo, TaskTypes

from api.accept import Acceptance, AcceptanceDep
from api.body import StrictRoute
from api.deps import RegistryDep
from api.errors import responses
from api.routes.submit import ANSWERS
from api.submit_route import SubmitRoute
from api.types import unknown_type
from handlers.builtin import TYPES
from handlers.registry import Registry

router = APIRouter(tags=["submit"])

BUILTIN_PATHS = {
    "api_fetch": "/tasks/api-fetch",
    "chain": "/chain/process",
    "chain_batch": "/chain/batch",
}
BUILTIN = frozenset(item.name for item in TYPES)


@router.get("/task-types", responses=responses(503))
async def task_types(registry: RegistryDep) -> TaskTypes:
    """All types that can be submitted here, each with the JSON schema of its submissions."""
    return TaskTypes(
        task_types=[
            TaskTypeInfo(
                name=item.name,
                description=item.description,
                path=path_of(item.name),
                queue=item.queue,
                handlers=[*(handler.name for handler in item.handlers), *item.named],
                json_schema=registry.submission(item.name).model_json_schema(),
                schedule=item.schedule,
                timezone=item.timezone if item.schedule else None,
            )
            for item in registry.types
        ]
    )


def path_of(name: str) -> str:
    """Where a type's submissions go."""
    return BUILTIN_PATHS.get(name, f"/tasks/{name.replace('_', '-')}")


def install(app: FastAPI, registry: Registry) -> None:
    """The routes of the types from outside: first of all, their names are none of the others'."""
    routes = APIRouter(tags=["submit"], route_class=SubmitRoute)
    for item in registry.types:
        if item.name not in BUILTIN:
            _add(routes, item, registry)
    app.include_router(routes)


def install_unknown(app: FastAPI, registry: Registry) -> None:
    """Last of all: what answers for a type nobody has."""
    rest = APIRouter(route_class=StrictRoute)
    rest.add_api_route(
        "/tasks/{type_name}", _unknown(registry), methods=["POST"], include_in_schema=False
    )
    app.include_router(rest)


def _add(routes: APIRouter, item: TaskType, registry: Registry) -> None:
    """One type's submission; `-` equals `_`."""
    endpoint = _endpoint(item, registry.submission(item.name))
    path = path_of(item.name)
    for place, spelling in enumerate(dict.fromkeys((path, f"/tasks/{item.name}"))):
        routes.add_api_route(
            spelling,
            endpoint,
            methods=["POST"],
            status_code=202,
            response_model=Accepted,
            responses=ANSWERS,
            name=f"submit_{item.name}",
            summary=f"Submit {item.name}",
            description=item.description or f"One task of the type {item.name}.",
            include_in_schema=place == 0,
        )


def _endpoint(item: TaskType, model: type[BaseModel]) -> Callable[..., Awaitable[Response]]:
    async def submit(body: BaseModel, accept: Acceptance) -> Response:
        return await accept(item.name, body)

    # the annotations are what FastAPI reads: the body's model is known only now
    submit.__annotations__ = {"body": model, "accept": AcceptanceDep, "return": Response}
    return submit


def _unknown(registry: Registry) -> Callable[[str], Awaitable[Response]]:
    async def unknown(type_name: str) -> Response:
        raise unknown_type(registry, type_name)

    return unknown
