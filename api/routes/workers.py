"""`/workers`: the processes that run tasks, and what they have in hand; drain them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body
from stepline.contract import OrderRequest, Status, Worker, Workers, WorkerState, WorkerTask

from api.body import StrictRoute
from api.deps import CallerDep, ResourcesDep
from api.errors import not_found, responses
from api.orders import new_order, order_view
from infra.resources import Resources
from infra.state.controls import Order
from infra.state.liveness import WorkerRecord
from infra.state.models import TaskState

router = APIRouter(prefix="/workers", tags=["operations"], route_class=StrictRoute)

Reason = Annotated[OrderRequest | None, Body()]


@router.get("", responses=responses(503))
async def list_workers(resources: ResourcesDep) -> Workers:
    """The worker processes that live, and those that died within the last minute, each with the
    tasks that it has in hand."""
    workers = await resources.workers.all()
    standing = await resources.controls.standing()
    held = list(dict.fromkeys(task_id for worker in workers for task_id in worker.active))
    states = dict(zip(held, await resources.state.get_many(held), strict=True))
    return Workers(
        workers=[
            _view(worker, standing.draining.get(worker.id), states)
            for worker in sorted(workers, key=lambda worker: worker.id)
        ]
    )


@router.post("/{worker_id}/drain", responses=responses(400, 404, 413, 415, 422, 503))
async def drain(
    worker_id: str, resources: ResourcesDep, caller: CallerDep, body: Reason = None
) -> WorkerState:
    """Let this worker take nothing new, within two seconds. What it has in hand ends; the process
    stays up, and goes on recording history. The order ends with the process, or by `undrain`."""
    await _require(resources, worker_id)
    await resources.controls.drain(worker_id, new_order(caller, body))
    return await _state(resources, worker_id)


@router.post("/{worker_id}/undrain", responses=responses(400, 404, 413, 415, 422, 503))
async def undrain(worker_id: str, resources: ResourcesDep, caller: CallerDep) -> WorkerState:
    """Let this worker take tasks again."""
    await _require(resources, worker_id)
    await resources.controls.undrain(worker_id, new_order(caller, None))
    return await _state(resources, worker_id)


async def _require(resources: Resources, worker_id: str) -> None:
    if worker_id not in [worker.id for worker in await resources.workers.all()]:
        raise not_found("worker", worker_id)


async def _state(resources: Resources, worker_id: str) -> WorkerState:
    standing = await resources.controls.standing()
    return WorkerState(id=worker_id, draining=order_view(standing.draining.get(worker_id)))


def _view(worker: WorkerRecord, order: Order | None, states: dict[str, TaskState | None]) -> Worker:
    state: Literal["running", "draining", "gone"] = "draining" if order else "running"
    return Worker(
        id=worker.id,
        kind=worker.kind,
        host=worker.host,
        pid=worker.pid,
        version=worker.version,
        queues=worker.queues,
        started_at=worker.started_at,
        last_beat_age=round(worker.silent_for, 3),
        state="gone" if worker.gone else state,
        draining=order_view(order),
        concurrency=worker.concurrency,
        tasks=[_task(known) for task_id in worker.active if (known := states[task_id])],
    )


def _task(state: TaskState) -> WorkerTask:
    running = state.status is Status.RUNNING
    return WorkerTask(
        task_id=state.id,
        task_name=state.name,
        type=state.type,
        queue=state.queue,
        step=state.handlers[state.step] if running and state.step is not None else None,
        started_at=state.started_at,
        percent=(state.progress or {}).get("percent"),
    )
