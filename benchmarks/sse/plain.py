"""The obvious way to stream progress: FastAPI, sse-starlette, Redis pub/sub, as their docs show."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import redis.asyncio as redis
from fastapi import FastAPI
from sse_starlette import EventSourceResponse

app = FastAPI()
connections = redis.Redis.from_url(os.environ["REDIS_URL"])


@app.get("/tasks/{task_id}/events")
async def events(task_id: str) -> EventSourceResponse:
    async def stream() -> AsyncIterator[dict[str, str]]:
        async with connections.pubsub() as pubsub:
            await pubsub.subscribe(f"task:{task_id}")
            async for message in pubsub.listen():
                if message["type"] == "message":
                    yield {"event": "step.output", "data": message["data"].decode()}

    return EventSourceResponse(stream(), sep="\n")


@app.get("/health/ready")
async def ready() -> dict[str, bool]:
    return {"ready": bool(await connections.ping())}
