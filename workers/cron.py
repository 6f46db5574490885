"""`python -m workers.cron`: what must happen now and then, by arq. It runs no handler, ever.

Several of these processes may run: arq lets each job happen once. Its Redis may be another one than
the state's (its transactions do not fit a cluster).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
import uvloop
from arq import create_pool, cron
from arq.connections import RedisSettings
from arq.cron import CronJob
from arq.worker import Worker
from stepline.errors import SteplineError

from handlers.plugins import full_registry
from infra.codec import dumps, loads
from infra.leaving import leave
from infra.logging import configure_logging
from infra.metrics_server import serving_metrics
from infra.resources import open_resources
from infra.settings import Settings, load_settings
from workers.rescue import sweep
from workers.upkeep import AWAY, Upkeep

JOB_TIMEOUT = 50
"""Seconds. A job whose process died is run again only after this."""

QUEUE = "stepline:cron"
POLL = 0.1
"""Seconds between two looks of arq at its clock: a deferred task may be late by that."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


async def rescue(context: dict[str, Any]) -> int:
    """Each minute: bring back tasks whose messages are lost."""
    rescued = await _unless_away("rescue", sweep(context["resources"], context["queues"]))
    if rescued:
        log.warning("rescued", tasks=rescued)
    return int(rescued or 0)


async def release(context: dict[str, Any]) -> int:
    """Twice a second: publish what is due."""
    upkeep: Upkeep = context["upkeep"]
    return int(await _unless_away("release", upkeep.release()) or 0)


async def schedules(context: dict[str, Any]) -> int:
    """Each second: submit what a schedule asks for."""
    upkeep: Upkeep = context["upkeep"]
    return int(await _unless_away("schedules", upkeep.schedules()) or 0)


async def bulk(context: dict[str, Any]) -> bool:
    """Each second: go on with what was asked of many tasks."""
    upkeep: Upkeep = context["upkeep"]
    return bool(await _unless_away("bulk", upkeep.bulk()))


async def prune(context: dict[str, Any]) -> int:
    """Each minute: forget what ended long ago."""
    upkeep: Upkeep = context["upkeep"]
    return int(await _unless_away("prune", upkeep.prune()) or 0)


async def _unless_away(name: str, work: Awaitable[T]) -> T | None:
    try:
        return await work
    except AWAY as error:
        log.warning(f"{name}_skipped", error=str(error))
        return None


def _job(function: Callable[[dict[str, Any]], Awaitable[Any]], **when: Any) -> CronJob:
    return cron(function, timeout=JOB_TIMEOUT, keep_result=0, **when)  # type: ignore[arg-type]


EVERY_SECOND = set(range(60))
JOBS = [
    _job(rescue, second=0),
    _job(prune, second=30),
    _job(schedules, second=EVERY_SECOND, microsecond=100_000),
    _job(bulk, second=EVERY_SECOND, microsecond=250_000),
    _job(release, name="release-on-the-second", second=EVERY_SECOND, microsecond=0),
    _job(release, name="release-in-between", second=EVERY_SECOND, microsecond=500_000),
]


async def run(settings: Settings) -> None:
    registry = full_registry()
    queues = registry.queues(settings.routes)
    async with open_resources(settings, kind="cron", queues=queues) as resources:
        pool = await create_pool(
            RedisSettings.from_dsn(settings.resolved_cron_redis_url),
            job_serializer=dumps,  # arq's own default is pickle: code from whoever writes Redis
            job_deserializer=loads,
            default_queue_name=QUEUE,
        )
        worker = Worker(
            cron_jobs=JOBS,
            redis_pool=pool,
            queue_name=QUEUE,
            job_serializer=dumps,
            job_deserializer=loads,
            ctx={
                "resources": resources,
                "queues": queues,
                "upkeep": Upkeep(resources, registry),
            },
            health_check_interval=60,
            poll_delay=POLL,
        )
        stopping = asyncio.Event()
        worker.on_stop = lambda _signal: stopping.set()
        log.info("cron_started", jobs=["rescue", "release", "schedules", "bulk", "prune"])
        with serving_metrics(settings, resources.metrics):
            try:
                await worker.async_run()
            except asyncio.CancelledError:  # how arq ends on a signal
                if not stopping.is_set():
                    raise


def main() -> int:
    try:
        settings = load_settings()
        settings.require_shared("./task cron")
        configure_logging(settings)
        uvloop.run(run(settings))
    except SteplineError as error:
        print(f"stepline cron: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    leave(main())
