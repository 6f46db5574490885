"""`/`, `/health` and its short forms for orchestrators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.deps import ResourcesDep
from api.errors import responses
from infra.broker.base import BrokerError
from infra.history.base import HistoryUnavailable
from infra.resources import Resources
from infra.state.redis import StateUnavailable
from infra.version import version

router = APIRouter(tags=["system"])

PROBE_TIMEOUT = 2.0
AWAY = (BrokerError, StateUnavailable, HistoryUnavailable)


@router.get("/")
async def root() -> dict[str, Any]:
    """What this is, and where to look."""
    return {
        "name": "Stepline",
        "version": version(),
        "description": "Submit work, watch every step, lose nothing.",
        "endpoints": {
            "submit": [
                "/tasks/long",
                "/tasks/quick",
                "/tasks/email",
                "/tasks/batch",
                "/tasks/api-fetch",
            ],
            "chains": ["/chain/process", "/chain/batch", "/chain/dynamic", "/chain/demo"],
            "tasks": [
                "/tasks/",
                "/tasks/active",
                "/tasks/{task_id}/status",
                "/tasks/{task_id}/result",
                "/tasks/{task_id}/events",
            ],
            "demonstration": ["/demo/run-concurrent-tasks"],
            "users": ["/users/"],
            "exports": ["/exports/{name}"],
            "system": ["/health", "/health/live", "/health/ready"],
        },
        "links": {
            "docs": "/docs",
            "redoc": "/redoc",
            "openapi": "/openapi.json",
            "health": "/health",
        },
    }


async def _probe(check: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await check()
    except TimeoutError:
        return {"status": "down", "detail": f"no answer within {PROBE_TIMEOUT:g} s"}
    except AWAY as error:
        return {"status": "down", "detail": str(error)}
    return {"status": "up", "latency_ms": round((time.perf_counter() - began) * 1000, 2)}


async def _workers(resources: Resources) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            workers = await resources.workers.alive()
    except TimeoutError:
        return {"status": "down", "detail": f"no answer within {PROBE_TIMEOUT:g} s", "count": 0}
    except StateUnavailable as error:
        return {"status": "down", "detail": str(error), "count": 0}
    if not workers:
        return {"status": "down", "detail": "no worker is alive: start one", "count": 0}
    return {"status": "up", "count": len(workers), "names": [worker.id for worker in workers]}


@router.get("/health", responses=responses(503))
async def health(resources: ResourcesDep) -> Response:
    """Each part of the service; 503 when one is down."""
    broker, redis, database, workers = await asyncio.gather(
        _probe(resources.broker.check),
        _probe(resources.state.ping),
        _probe(resources.history.check),
        _workers(resources),
    )
    checks = {"broker": broker, "redis": redis, "database": database, "workers": workers}
    down = [name for name, check in checks.items() if check["status"] == "down"]
    return JSONResponse(
        {
            "status": "unhealthy" if down else "healthy",
            "version": version(),
            "down": down,
            "checks": checks,
        },
        503 if down else 200,
    )


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/health/ready", responses=responses(503))
async def ready(resources: ResourcesDep) -> Response:
    """Work can be accepted now: broker and Redis."""
    broker, redis = await asyncio.gather(
        _probe(resources.broker.check), _probe(resources.state.ping)
    )
    down = [
        name for name, check in (("broker", broker), ("redis", redis)) if check["status"] == "down"
    ]
    return JSONResponse(
        {"status": "not ready" if down else "ready", "down": down}, 503 if down else 200
    )
