"""Which results a Redis has by now, in one round trip: for the libraries that keep one key each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis.asyncio as async_redis


class Stored:
    """The results' keys."""

    def __init__(self, url: str) -> None:
        self.client: Any = async_redis.Redis.from_url(url)

    async def exist(self, keys: Sequence[str]) -> list[bool]:
        async with self.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(key)
            return [bool(one) for one in await pipeline.execute()]

    async def close(self) -> None:
        await self.client.aclose()
