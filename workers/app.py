"""A worker process from its settings: open everything, beat, run, drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from os import getpid

from handlers.plugins import full_registry
from handlers.registry import Registry
from infra import heap
from infra.broker.topology import HISTORY_QUEUE
from infra.codec import now, timestamp
from infra.metrics_server import serving_metrics
from infra.resources import Resources, open_resources
from infra.settings import Settings, SettingsError, process_name
from infra.state.liveness import Heartbeat
from infra.state.redis import StateUnavailable
from infra.users import HistoryUsers
from infra.version import version
from workers.blobs import Checkpoints
from workers.context import Services
from workers.engine import Engine
from workers.runtime import Limits, Runtime


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker: its name and its runtime."""

    name: str
    runtime: Runtime
    engine: Engine


def chosen_queues(settings: Settings, known: tuple[str, ...]) -> tuple[str, ...]:
    """The queues to work on, as the settings say; raises `SettingsError` for an unknown one."""
    everything = (*known, HISTORY_QUEUE)
    if unknown := [queue for queue in settings.worker_queues if queue not in everything]:
        raise SettingsError(
            f"STEPLINE_WORKER_QUEUES names {unknown[0]!r}, but the queues are "
            f"{', '.join(everything)}"
        )
    return settings.worker_queues or everything


@asynccontextmanager
async def running_worker(resources: Resources, registry: Registry) -> AsyncIterator[Worker]:
    """A worker over open resources; drains at the end."""
    settings = resources.settings
    name = process_name("worker")
    queues = chosen_queues(settings, registry.queues(settings.routes))
    engine = Engine(
        worker=name,
        broker=resources.broker,
        state=resources.state,
        workers=resources.workers,
        barriers=resources.barriers,
        controls=resources.controls,
        history=resources.history,
        registry=registry,
        services=Services(
            mailer=resources.mailer,
            fetcher=resources.fetcher,
            exports=resources.exports,
            users=HistoryUsers(resources.history),
        ),
        checkpoints=Checkpoints(resources.exports),
        metrics=resources.metrics,
        slice_after=settings.slice_after,
    )
    limits = Limits(
        concurrency=settings.worker_concurrency,
        prefetch=settings.prefetch,
        max_tasks=settings.worker_max_tasks,
        grace=settings.worker_grace,
    )
    runtime = Runtime(engine, queues, limits, settings.state_ttl)
    heartbeat = Heartbeat(
        resources.connections,
        name,
        {
            "kind": "embedded" if resources.broker.confirms_history else "worker",
            "host": socket.gethostname(),
            "pid": getpid(),
            "version": version(),
            "queues": list(queues),
            "concurrency": limits.concurrency,
            "started_at": timestamp(now()),
        },
    )
    heartbeat.start()
    try:
        await runtime.start()
        yield Worker(name, runtime, engine)
    finally:
        await runtime.stop()
        await engine.close()
        with suppress(StateUnavailable):
            await resources.controls.forget(name)
        await asyncio.to_thread(heartbeat.stop)


async def run_worker(
    settings: Settings, stop: asyncio.Event, registry: Registry | None = None
) -> None:
    """One worker process, until `stop` is set or it has done its `worker_max_tasks`. Without a
    registry: the built-in types and those of installed packages."""
    registry = registry or full_registry()
    queues = registry.queues(settings.routes)
    async with (
        open_resources(settings, kind="worker", queues=queues) as resources,
        running_worker(resources, registry) as worker,
    ):
        heap.settle()
        with serving_metrics(settings, resources.metrics):
            waits = [
                asyncio.create_task(stop.wait()),
                asyncio.create_task(worker.runtime.full.wait()),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
