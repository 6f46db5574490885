"""streaq: Redis streams are its broker, Redis its result store; many tasks in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from driving import Driver, gathered, redis_url
from streaq import Worker
from work import CONCURRENCY, LARGE, NUMBERS, PAUSE, STEPS, figures

worker: Any = Worker(redis_url=redis_url(), concurrency=CONCURRENCY)


@worker.task()
async def tiny(numbers: list[int]) -> dict[str, Any]:
    return figures(numbers)


@worker.task()
async def step(number: int) -> int:
    return number + 1


@worker.task()
async def io() -> str:
    await asyncio.sleep(PAUSE)
    return "waited"


@worker.task()
async def large(text: str) -> int:
    return len(text)


class StreaqDriver(Driver):
    async def open(self) -> None:
        await worker.__aenter__()

    async def close(self) -> None:
        await worker.__aexit__(None, None, None)

    async def submit(self, kind: str, count: int) -> list[str]:
        if kind == "chain":
            return await gathered(count, self._send_chain)
        task: Any = {"tiny": tiny, "io": io, "large": large}[kind]
        arguments: list[Any] = {"tiny": [NUMBERS], "io": [], "large": [LARGE]}[kind]
        tasks = [task.enqueue(*arguments) for _ in range(count)]
        await worker.enqueue_many(tasks)
        return [item.id for item in tasks]

    async def _send_chain(self) -> str:
        last: Any = step.enqueue(0)
        for _ in range(STEPS - 1):
            last = last.then(step)
        await last
        return str(last.id)

    async def finished(self, kind: str, handles: Sequence[str]) -> list[bool]:
        async with worker.redis.pipeline(transaction=False) as pipeline:
            asked = [pipeline.exists([worker.results_key + handle]) for handle in handles]
        return [bool(await one) for one in asked]

    async def result(self, kind: str, handle: str) -> Any:
        return (await worker.result_by_id(handle, timeout=30)).result

    async def submit_one(self) -> str:
        return str((await tiny.enqueue(NUMBERS)).id)

    def waits(self) -> dict[str, Any]:
        async def result() -> None:
            await (await tiny.enqueue(NUMBERS)).result(30)

        return {"result": result}


DRIVER = StreaqDriver
WORKER = ["streaq", "run", "streaq_peer:worker"]
WORKERS = {"throughput": WORKER, "io": WORKER}
PROCESSES = {"throughput": 2}
