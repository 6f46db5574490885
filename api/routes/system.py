"""`/`, `/health` and its short forms for orchestrators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from stepline.contract import Health

from api.deps import ResourcesDep
from infra.broker.base import BrokerError
from infra.history.base import HistoryUnavailable
from infra.resources import Resources
from infra.state.controls import Standing
from infra.state.liveness import WorkerRecord
from infra.state.redis import StateUnavailable
from infra.version import version

router = APIRouter(tags=["system"])

PROBE_TIMEOUT = 2.0
UNSERVED_FOR = 5.0
"""Seconds: a consumer comes back after a lost connection, and a worker obeys an order, within."""

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


async def _probe(check: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await check()
    except TimeoutError:
        return {"status": "down", "detail": f"no answer within {PROBE_TIMEOUT:g} s"}
    except AWAY as error:
        return {"status": "down", "detail": str(error)}
    return {"status": "up", "latency_ms": round((time.perf_counter() - began) * 1000, 2)}


async def _workers(resources: Resources) -> tuple[dict[str, Any], Sequence[WorkerRecord]]:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            workers = await resources.workers.alive()
    except TimeoutError:
        return _no_workers(f"no answer within {PROBE_TIMEOUT:g} s"), ()
    except StateUnavailable as error:
        return _no_workers(str(error)), ()
    if not workers:
        return _no_workers("no worker is alive: start one"), ()
    names = [worker.id for worker in workers]
    return {"status": "up", "count": len(workers), "names": names}, workers


def _no_workers(detail: str) -> dict[str, Any]:
    return {"status": "down", "detail": detail, "count": 0}


def unserved(
    idle: Mapping[str, float], workers: Sequence[WorkerRecord], standing: Standing
) -> list[str]:
    """The queues that some of these workers are to take from, and none does. `idle`: seconds that
    each queue has been without a consumer."""
    wanted = {
        queue
        for worker in workers
        for queue in worker.queues
        if standing.lets_take(worker.id, queue)
    }
    return sorted(queue for queue in wanted if idle.get(queue, 0.0) >= UNSERVED_FOR)


async def _orders(resources: Resources) -> Standing:
    """Those that hold; none are told while Redis does not answer."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            return await resources.controls.standing()
    except (TimeoutError, StateUnavailable):
        return Standing()


@router.get(
    "/health",
    response_model=Health,
    responses={503: {"model": Health, "description": "A part is down."}},
)
async def health(resources: ResourcesDep) -> Response:
    """Each part of the service; 503 when one is down. A queue that was paused and a worker that is
    drained are told, and are no illness."""
    idle: dict[str, float] = {}

    async def check_broker() -> None:
        idle.update(await resources.broker.check())

    broker, redis, database, (workers, alive), standing = await asyncio.gather(
        _probe(check_broker),
        _probe(resources.state.ping),
        _probe(resources.history.check),
        _workers(resources),
        _orders(resources),
    )
    if stuck := unserved(idle, alive, standing):
        detail = f"no worker consumes {', '.join(stuck)}: their logs say why (consumer_lost)"
        workers |= {"status": "down", "detail": detail}
    checks = {"broker": broker, "redis": redis, "database": database, "workers": workers}
    down = [name for name, check in checks.items() if check["status"] == "down"]
    return JSONResponse(
        {
            "status": "unhealthy" if down else "healthy",
            "version": version(),
            "down": down,
            "checks": checks,
            "paused_queues": sorted(standing.paused),
            "draining_workers": sorted(standing.draining),
        },
        503 if down else 200,
    )


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/health/ready", responses={503: {"description": "Not now: `down` says why."}})
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
