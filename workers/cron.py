"""`python -m workers.cron`: what must happen now and then, by arq. It runs no handler, ever.

Several of these processes may run: arq lets each job happen once. Its Redis may be another one than
the state's (its transactions do not fit a cluster).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import structlog
import uvloop
from arq import create_pool, cron
from arq.connections import RedisSettings
from arq.worker import Worker
from stepline.errors import SteplineError

from handlers.builtin import builtin_registry
from infra.broker.base import BrokerError
from infra.codec import dumps, loads
from infra.history.base import HistoryUnavailable
from infra.leaving import leave
from infra.logging import configure_logging
from infra.resources import open_resources
from infra.settings import Settings, load_settings
from infra.state.redis import StateUnavailable
from workers.rescue import sweep

JOB_TIMEOUT = 50
"""Seconds. A job whose process died is run again only after this."""

QUEUE = "stepline:cron"

log = structlog.get_logger(__name__)


async def rescue(context: dict[str, Any]) -> int:
    """Each minute: bring back tasks whose messages are lost."""
    try:
        rescued = await sweep(context["resources"], context["queues"])
    except (BrokerError, StateUnavailable, HistoryUnavailable) as error:
        log.warning("rescue_skipped", error=str(error))
        return 0
    if rescued:
        log.warning("rescued", tasks=rescued)
    return rescued


async def run(settings: Settings) -> None:
    queues = builtin_registry().queues(settings.routes)
    async with open_resources(settings, kind="cron", queues=queues) as resources:
        pool = await create_pool(
            RedisSettings.from_dsn(settings.resolved_cron_redis_url),
            job_serializer=dumps,  # arq's own default is pickle: code from whoever writes Redis
            job_deserializer=loads,
            default_queue_name=QUEUE,
        )
        worker = Worker(
            cron_jobs=[cron(rescue, second=0, timeout=JOB_TIMEOUT)],  # type: ignore[arg-type]
            redis_pool=pool,
            queue_name=QUEUE,
            job_serializer=dumps,
            job_deserializer=loads,
            ctx={"resources": resources, "queues": queues},
            health_check_interval=60,
        )
        stopping = asyncio.Event()
        worker.on_stop = lambda _signal: stopping.set()
        log.info("cron_started", jobs=["rescue"])
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
