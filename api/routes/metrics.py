"""`GET /metrics`: what this process counts, and what it asks of the others at each scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Response

from api.deps import RegistryDep, ResourcesDep
from infra.broker.base import BrokerError
from infra.broker.topology import DEAD_LETTERS_QUEUE, HISTORY_QUEUE
from infra.codec import now
from infra.history.base import DeadLetterFilter, HistoryUnavailable
from infra.metrics import CONTENT_TYPE
from infra.resources import Resources
from infra.state.redis import StateUnavailable

router = APIRouter(tags=["system"])

PROBE_TIMEOUT = 2.0
AWAY = (BrokerError, StateUnavailable, HistoryUnavailable, TimeoutError)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "In Prometheus's own format."}},
)
async def metrics(resources: ResourcesDep, registry: RegistryDep) -> Response:
    """For Prometheus. A part that is away shows as `stepline_up` 0; what it would have told is then
    left as it was."""
    queues = registry.queues(resources.settings.routes)
    await asyncio.gather(
        _probe(resources, "broker", _ask_broker(resources, queues)),
        _probe(resources, "redis", _ask_redis(resources)),
        _probe(resources, "database", _ask_history(resources, queues)),
    )
    return Response(resources.metrics.render(), media_type=CONTENT_TYPE)


async def _probe(resources: Resources, part: str, ask: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await ask
    except AWAY:
        resources.metrics.up.labels(part).set(0)
    else:
        resources.metrics.up.labels(part).set(1)


async def _ask_broker(resources: Resources, queues: tuple[str, ...]) -> None:
    for queue in (*queues, HISTORY_QUEUE, DEAD_LETTERS_QUEUE):
        depth = await resources.broker.depth(queue)
        resources.metrics.queue_messages.labels(queue).set(depth)


async def _ask_redis(resources: Resources) -> None:
    await resources.state.ping()
    alive = await resources.workers.alive()
    resources.metrics.workers_alive.set(len(alive))


async def _ask_history(resources: Resources, queues: tuple[str, ...]) -> None:
    history, gauges = resources.history, resources.metrics
    moment = now()
    for queue in queues:
        oldest = await history.oldest_waiting(queue)
        age = (moment - oldest).total_seconds() if oldest is not None else 0.0
        gauges.queue_oldest.labels(queue).set(max(0.0, age))
    gauges.dead_letters_open.set(await history.count_dead_letters(DeadLetterFilter(resolved=False)))
    gauges.deferred.set(await history.count_deferred())
