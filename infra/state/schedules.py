"""When each scheduled type was last submitted: where the next look begins."""

from __future__ import annotations

from datetime import datetime

from infra.codec import moment, timestamp
from infra.state.redis import Connections, translated
from infra.state.store import PREFIX

KEY = f"{PREFIX}schedules"


class Schedules:
    """Shared by all cron processes."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.client(max_connections=4)

    async def close(self) -> None:
        await self._client.aclose()

    async def last(self, task_type: str, now: datetime) -> datetime:
        """The last time that was seen to; of a type that nobody has seen yet, now."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hsetnx(KEY, task_type, timestamp(now))
            pipeline.hget(KEY, task_type)
            _, stored = await pipeline.execute()
        return moment(stored.decode())

    async def seen_to(self, task_type: str, at: datetime) -> None:
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(KEY, task_type, timestamp(at))
            await pipeline.execute()
