"""The application: routes, errors, docs, and what it holds open while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from api import docs, errors
from api.middleware import RequestLog
from api.routes import chain, demo, events, exports, submit, system, tasks, users
from api.submission import Submitter
from handlers.builtin import builtin_registry
from handlers.registry import Registry
from infra.resources import Resources, open_resources
from infra.settings import Settings
from infra.version import version

DESCRIPTION = """
Submit work, watch every step of it live, lose nothing.

Every submission answers `202` with links once the broker has confirmed the task. Follow
`links.events` for its life as Server-Sent Events, or poll `links.status`; `links.result` has the
result for good. Errors are `application/problem+json` whose `type` is stable.
"""

TAGS = [
    {"name": "submit", "description": "Tasks of the built-in types."},
    {"name": "chain", "description": "Data chains: validate, transform, enrich, export, notify."},
    {"name": "tasks", "description": "What has become of the work."},
    {"name": "events", "description": "Live progress, with replay."},
    {"name": "exports", "description": "Files that chains have written."},
    {"name": "users", "description": "The users that `batch` works on."},
    {"name": "demonstration", "description": "Real tasks, one of each kind."},
    {"name": "system", "description": "The service itself."},
]


def create_app(registry: Registry, opening: AbstractAsyncContextManager[Resources]) -> FastAPI:
    """An app that opens its resources at start and closes them at the end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opening as resources:
            app.state.resources = resources
            app.state.registry = registry
            app.state.submitter = Submitter(
                resources.broker, resources.state, registry, resources.settings.routes
            )
            yield
            await app.state.submitter.close()

    app = FastAPI(
        title="Stepline",
        version=version(),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    errors.install(app)
    docs.install(app)
    for routes in (system, submit, chain, demo, tasks, events, exports, users):
        app.include_router(routes.router)
    app.add_middleware(RequestLog)
    return app


def api_app(settings: Settings) -> FastAPI:
    """The API as a process of its own."""
    registry = builtin_registry()
    queues = registry.queues(settings.routes)
    return create_app(registry, open_resources(settings, kind="api", queues=queues))
