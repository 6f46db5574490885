"""TaskIQ with taskiq-aio-pika, results by taskiq-redis.

TaskIQ itself has no chains; here each step sends the next, with ids known beforehand.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from driving import Driver, amqp_url, gathered, redis_url
from stored import Stored
from taskiq import AsyncTaskiqTask
from taskiq_aio_pika import AioPikaBroker
from taskiq_redis import RedisAsyncResultBackend
from work import CONCURRENCY, LARGE, NUMBERS, PAUSE, STEPS, figures

backend: Any = RedisAsyncResultBackend(redis_url(), result_ex_time=3600)
broker = AioPikaBroker(amqp_url(), qos=CONCURRENCY).with_result_backend(backend)


@broker.task
async def tiny(numbers: list[int]) -> dict[str, Any]:
    return figures(numbers)


@broker.task
async def step(number: int, name: str) -> int:
    if number < STEPS - 1:
        await step.kicker().with_task_id(f"{name}-{number + 1}").kiq(number + 1, name)
    return number + 1


@broker.task
async def io() -> str:
    await asyncio.sleep(PAUSE)
    return "waited"


@broker.task
async def large(text: str) -> int:
    return len(text)


class TaskiqDriver(Driver):
    async def open(self) -> None:
        await broker.startup()
        self.stored = Stored(redis_url())

    async def close(self) -> None:
        await self.stored.close()
        await broker.shutdown()

    async def send(self, kind: str) -> str:
        if kind == "chain":
            name = uuid.uuid4().hex
            await step.kicker().with_task_id(f"{name}-0").kiq(0, name)
            return f"{name}-{STEPS - 1}"
        task: Any = {"tiny": tiny, "io": io, "large": large}[kind]
        arguments: list[Any] = {"tiny": [NUMBERS], "io": [], "large": [LARGE]}[kind]
        return str((await task.kiq(*arguments)).task_id)

    async def submit(self, kind: str, count: int) -> list[str]:
        return await gathered(count, lambda: self.send(kind))

    async def finished(self, kind: str, handles: Sequence[str]) -> list[bool]:
        return await self.stored.exist(handles)

    async def result(self, kind: str, handle: str) -> Any:
        return (await AsyncTaskiqTask(handle, backend).wait_result(timeout=30)).return_value

    def waits(self) -> dict[str, Any]:
        async def result() -> None:
            await (await tiny.kiq(NUMBERS)).wait_result(check_interval=0.001, timeout=30)

        return {"result": result}


WORKER = ["taskiq", "worker", "taskiq_peer:broker", "--log-level", "ERROR", "--max-async-tasks"]


DRIVER = TaskiqDriver
WORKERS = {
    "throughput": [*WORKER, str(CONCURRENCY), "--workers", "2"],
    "io": [*WORKER, str(CONCURRENCY), "--workers", "1"],
}
