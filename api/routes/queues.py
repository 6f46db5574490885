"""`/queues`: what waits and runs in each, and who takes from it; pause and resume them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Body
from stepline.contract import OrderRequest, Queue, Queues, QueueState, Status

from api.activity import queue_rates
from api.body import StrictRoute
from api.deps import CallerDep, RegistryDep, ResourcesDep
from api.errors import not_found, responses
from api.orders import new_order, order_view
from handlers.registry import Registry
from infra.broker.base import BrokerError
from infra.codec import now
from infra.resources import Resources
from infra.state.liveness import WorkerRecord, taking

router = APIRouter(prefix="/queues", tags=["operations"], route_class=StrictRoute)

Reason = Annotated[OrderRequest | None, Body()]


@router.get("", responses=responses(503))
async def list_queues(resources: ResourcesDep, registry: RegistryDep) -> Queues:
    """All queues that tasks wait in: how many, for how long, who takes from them, and whether they
    are paused."""
    standing = await resources.controls.standing()
    workers = await resources.workers.all()
    running = await _running(resources, workers)
    rates = await queue_rates(resources.history)
    types = _types(resources, registry)

    async def view(name: str) -> Queue:
        backlog = await resources.history.backlog(name)
        oldest = await resources.history.oldest_waiting(name)
        return Queue(
            name=name,
            paused=order_view(standing.paused.get(name)),
            waiting=backlog.by_status.get(Status.PENDING, 0),
            waiting_capped=backlog.capped,
            messages=await _messages(resources, name),
            rate_in=rates[name].into,
            rate_out=rates[name].out,
            oldest_age=max(0.0, (now() - oldest).total_seconds()) if oldest else None,
            running=running[name],
            consumers=sum(worker.id not in standing.draining for worker in taking(workers, name)),
            types=sorted(types[name]),
        )

    return Queues(queues=await asyncio.gather(*map(view, types)))


@router.post("/{name}/pause", responses=responses(400, 404, 413, 415, 422, 503))
async def pause(
    name: str,
    resources: ResourcesDep,
    registry: RegistryDep,
    caller: CallerDep,
    body: Reason = None,
) -> QueueState:
    """Let no worker take from the queue, within two seconds and until it is resumed. It goes on
    accepting submissions; messages that no handler has begun go back; what runs ends."""
    _require(resources, registry, name)
    await resources.controls.pause(name, new_order(caller, body))
    return await _state(resources, name)


@router.post("/{name}/resume", responses=responses(400, 404, 413, 415, 422, 503))
async def resume(
    name: str, resources: ResourcesDep, registry: RegistryDep, caller: CallerDep
) -> QueueState:
    """Let the workers take from the queue again."""
    if name not in (await resources.controls.standing()).paused:  # also one that is used no more
        _require(resources, registry, name)
    await resources.controls.resume(name, new_order(caller, None))
    return await _state(resources, name)


def _require(resources: Resources, registry: Registry, name: str) -> None:
    if name not in registry.queues(resources.settings.routes):
        raise not_found("queue", name)


async def _state(resources: Resources, name: str) -> QueueState:
    standing = await resources.controls.standing()
    return QueueState(name=name, paused=order_view(standing.paused.get(name)))


async def _running(resources: Resources, workers: list[WorkerRecord]) -> Counter[str]:
    held = {task_id for worker in workers if not worker.gone for task_id in worker.active}
    states = await resources.state.get_many(list(held))
    return Counter(
        state.queue for state in states if state is not None and state.status is Status.RUNNING
    )


def _types(resources: Resources, registry: Registry) -> dict[str, list[str]]:
    """The types that are sent to each queue."""
    routes = resources.settings.routes
    found: dict[str, list[str]] = {name: [] for name in registry.queues(routes)}
    for item in registry.types:
        found[registry.queue_of(item.name, routes)].append(item.name)
    return found


async def _messages(resources: Resources, name: str) -> int | None:
    try:
        return await resources.broker.depth(name)
    except BrokerError:
        return None
