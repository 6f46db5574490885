"""The application: routes, errors, docs, and what it holds open while it runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api import docs, errors, openapi
from api.heartbeat import Heartbeat
from api.idempotency import Idempotency
from api.keys import RequireKey, parse_keys
from api.middleware import CheckHost, RequestLog
from api.routes import (
    bulk,
    chain,
    control,
    dead_letters,
    demo,
    events,
    exports,
    failures,
    feed,
    many,
    metrics,
    queues,
    schedules,
    stats,
    submit,
    system,
    task_types,
    tasks,
    tickets,
    users,
    workers,
)
from api.submission import Submitter
from api.taking import Taking
from handlers.plugins import full_registry
from handlers.registry import Registry
from infra import heap
from infra.resources import Resources, open_resources
from infra.settings import Settings
from infra.state.idempotency import IdempotencyKeys
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
    {"name": "control", "description": "Cancel, retry; one, or many at once."},
    {"name": "dead letters", "description": "What nobody could work off, to replay or discard."},
    {"name": "operations", "description": "How it does; queues, workers, failures, schedules."},
    {"name": "events", "description": "Live progress, with replay."},
    {"name": "exports", "description": "Files that chains have written."},
    {"name": "users", "description": "The users that `batch` works on."},
    {"name": "demonstration", "description": "Real tasks, one of each kind."},
    {"name": "system", "description": "The service itself."},
]


ROUTES = (
    many,
    chain,
    system,
    metrics,
    task_types,
    demo,
    tasks,
    control,
    events,
    feed,
    tickets,
    dead_letters,
    bulk,
    stats,
    failures,
    queues,
    workers,
    schedules,
    exports,
    users,
)
"""They are tried in this order: the busiest first."""

EXPOSED = ["Location", "Retry-After", "Preference-Applied", "Idempotent-Replayed", "X-Request-ID"]


def create_app(
    settings: Settings, registry: Registry, opening: AbstractAsyncContextManager[Resources]
) -> FastAPI:
    """An app that opens its resources at start and closes them at the end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opening as resources:
            app.state.resources = resources
            app.state.registry = registry
            app.state.heartbeat = Heartbeat()
            submitter = Submitter(resources, registry, settings.routes)
            keys = IdempotencyKeys(resources.state)
            idempotency = Idempotency(submitter, keys, resources.history)
            app.state.taking = Taking(submitter, idempotency, resources.metrics.submissions)
            heap.settle()
            yield
            await submitter.close()

    app = FastAPI(
        title="Stepline",
        version=version(),
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry={  # metrics and logs are Prometheus' and structlog's, see `infra`
            "metrics": False,
            "logs": False,
            "tracing": any(name.startswith("OTEL_") for name in os.environ),
        },
    )
    errors.install(app)
    docs.install(app)
    task_types.install(app, registry)
    # first of all, and straight: to look at the others takes longer than to take a task on, and an
    # included router looks twice
    app.router.routes[:0] = submit.router.routes
    for routes in ROUTES:
        app.include_router(routes.router)
    task_types.install_unknown(app, registry)
    openapi.install(app, keys=bool(settings.api_keys))
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """From the inside out: what is added last sees a request first."""
    if settings.api_keys:
        app.add_middleware(RequireKey, keys=parse_keys(settings.api_keys))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    app.add_middleware(CheckHost, hosts=settings.served_hosts)
    app.add_middleware(RequestLog)


def api_app(settings: Settings) -> FastAPI:
    """The API as a process of its own."""
    registry = full_registry()
    queues = registry.queues(settings.routes)
    return create_app(settings, registry, open_resources(settings, kind="api", queues=queues))
