"""SAQ: Redis is its broker and its result store. No chains: each step enqueues the next."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import Any

from driving import Driver, gathered, redis_url
from saq import Queue
from work import CONCURRENCY, LARGE, NUMBERS, PAUSE, STEPS, figures

queue: Any = Queue.from_url(redis_url())


async def tiny(_: Any, *, numbers: list[int]) -> dict[str, Any]:
    return figures(numbers)


async def step(_: Any, *, number: int, name: str) -> int:
    if number < STEPS - 1:
        key = f"{name}-{number + 1}"
        await queue.enqueue("step", number=number + 1, name=name, key=key)
    return number + 1


async def io(_: Any) -> str:
    await asyncio.sleep(PAUSE)
    return "waited"


async def large(_: Any, *, text: str) -> int:
    return len(text)


settings = {"queue": queue, "functions": [tiny, step, io, large], "concurrency": CONCURRENCY}


class SaqDriver(Driver):
    async def open(self) -> None:
        await queue.connect()

    async def close(self) -> None:
        await queue.disconnect()

    async def send(self, kind: str) -> str:
        if kind == "chain":
            name = uuid.uuid4().hex
            await queue.enqueue("step", number=0, name=name, key=f"{name}-0")
            return str(queue.job_id(f"{name}-{STEPS - 1}"))
        arguments = {"tiny": {"numbers": NUMBERS}, "io": {}, "large": {"text": LARGE}}[kind]
        return str((await queue.enqueue(kind, **arguments)).id)

    async def submit(self, kind: str, count: int) -> list[str]:
        return await gathered(count, lambda: self.send(kind))

    async def nudge(self) -> None:
        """A worker that starts does not see what waits already, until something new comes."""
        await queue.enqueue("tiny", numbers=NUMBERS)

    async def finished(self, kind: str, handles: Sequence[str]) -> list[bool]:
        jobs = await queue.redis.mget(handles)
        return [job is not None and json.loads(job)["status"] == "complete" for job in jobs]

    async def result(self, kind: str, handle: str) -> Any:
        return json.loads(await queue.redis.get(handle))["result"]

    def waits(self) -> dict[str, Any]:
        async def result() -> None:
            job = await queue.enqueue("tiny", numbers=NUMBERS)
            while not job.completed:
                await asyncio.sleep(0.001)
                await job.refresh()

        return {"result": result}


DRIVER = SaqDriver
WORKER = ["saq", "saq_peer.settings"]
WORKERS = {"throughput": WORKER, "io": WORKER}
PROCESSES = {"throughput": 2}
