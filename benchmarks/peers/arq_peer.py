"""arq: Redis is its broker and its result store. No chains: each step enqueues the next."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.jobs import Job
from driving import Driver, gathered, redis_url
from work import CONCURRENCY, LARGE, NUMBERS, PAUSE, STEPS, figures


async def tiny(_: Any, numbers: list[int]) -> dict[str, Any]:
    return figures(numbers)


async def step(context: Any, number: int, name: str) -> int:
    if number < STEPS - 1:
        job_id = f"{name}-{number + 1}"
        await context["redis"].enqueue_job("step", number + 1, name, _job_id=job_id)
    return number + 1


async def io(_: Any) -> str:
    await asyncio.sleep(PAUSE)
    return "waited"


async def large(_: Any, text: str) -> int:
    return len(text)


class WorkerSettings:
    functions = (tiny, step, io, large)
    redis_settings = RedisSettings.from_dsn(redis_url())
    max_jobs = CONCURRENCY
    poll_delay = 0.02


class ArqDriver(Driver):
    async def open(self) -> None:
        self.pool = await create_pool(WorkerSettings.redis_settings)

    async def close(self) -> None:
        await self.pool.aclose()

    async def send(self, kind: str) -> str:
        if kind == "chain":
            name = uuid.uuid4().hex
            await self.pool.enqueue_job("step", 0, name, _job_id=f"{name}-0")
            return f"{name}-{STEPS - 1}"
        arguments: list[Any] = {"tiny": [NUMBERS], "io": [], "large": [LARGE]}[kind]
        job: Any = await self.pool.enqueue_job(kind, *arguments)
        return str(job.job_id)

    async def submit(self, kind: str, count: int) -> list[str]:
        return await gathered(count, lambda: self.send(kind))

    async def finished(self, kind: str, handles: Sequence[str]) -> list[bool]:
        async with self.pool.pipeline(transaction=False) as pipeline:
            for handle in handles:
                pipeline.exists(f"arq:result:{handle}")
            return [bool(one) for one in await pipeline.execute()]

    async def result(self, kind: str, handle: str) -> Any:
        return await Job(handle, self.pool).result(timeout=30, poll_delay=0.01)

    def waits(self) -> dict[str, Any]:
        async def result() -> None:
            job: Any = await self.pool.enqueue_job("tiny", NUMBERS)
            await job.result(timeout=30, poll_delay=0.001)

        return {"result": result}


DRIVER = ArqDriver
WORKERS = {"throughput": ["arq", "arq_peer.WorkerSettings"]}
