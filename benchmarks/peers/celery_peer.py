"""Celery: RabbitMQ as its broker, results in Redis.

Set up as its guide on optimising says for many short tasks: prefork with one process a core, a high
prefetch multiplier, no gossip, no mingle. Late acknowledgement, so that a killed worker loses
nothing. The `io` set-up is its thread pool with 500 threads: its gevent pool ran these tasks one
after the other here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from celery import Celery, chain
from celery.result import AsyncResult
from driving import Driver, amqp_url, redis_url
from stored import Stored
from work import CONCURRENCY, LARGE, NUMBERS, PAUSE, STEPS, figures

app = Celery("celery_peer", broker=amqp_url(), backend=redis_url())
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=50, result_expires=3600)


@app.task
def tiny(numbers: list[int]) -> dict[str, Any]:
    return figures(numbers)


@app.task
def step(number: int) -> int:
    return number + 1


@app.task
def io() -> str:
    time.sleep(PAUSE)
    return "waited"


@app.task
def large(text: str) -> int:
    return len(text)


def send(kind: str) -> AsyncResult:
    if kind == "chain":
        return chain(step.s(0), *[step.s() for _ in range(STEPS - 1)]).delay()
    task, arguments = {"tiny": (tiny, [NUMBERS]), "io": (io, []), "large": (large, [LARGE])}[kind]
    return task.delay(*arguments)


class CeleryDriver(Driver):
    blocking = True

    async def open(self) -> None:
        self.stored = Stored(redis_url())

    async def close(self) -> None:
        await self.stored.close()

    async def submit(self, kind: str, count: int) -> list[AsyncResult]:
        return [send(kind) for _ in range(count)]

    async def finished(self, kind: str, handles: Sequence[AsyncResult]) -> list[bool]:
        return await self.stored.exist([f"celery-task-meta-{handle.id}" for handle in handles])

    async def result(self, kind: str, handle: AsyncResult) -> Any:
        return handle.get(timeout=30)

    def submit_one_blocking(self) -> str:
        return str(tiny.delay(NUMBERS).id)

    def of_id(self, task_id: str) -> AsyncResult:
        return AsyncResult(task_id, app=app)

    def waits(self) -> dict[str, Any]:
        async def result() -> None:
            tiny.delay(NUMBERS).get(timeout=30, interval=0.001)

        return {"result": result}


COMMON = [
    "celery",
    "-A",
    "celery_peer",
    "worker",
    "-l",
    "ERROR",
    "--without-gossip",
    "--without-mingle",
]


DRIVER = CeleryDriver
WORKERS = {
    "throughput": [*COMMON, "-P", "prefork", "-c", "2"],
    "io": [*COMMON, "-P", "threads", "-c", str(CONCURRENCY), "--prefetch-multiplier", "2"],
}
