"""When each scheduled type was last submitted: where the next look begins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infra.codec import dumps, loads, moment, timestamp
from infra.state.redis import Connections, translated
from infra.state.store import PREFIX

KEY = f"{PREFIX}schedules"
SUBMITTED = f"{KEY}:submitted"


@dataclass(frozen=True, slots=True)
class Submitted:
    """The last task that a schedule has brought, and the time that it was for."""

    at: datetime
    task_id: str


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

    async def seen_to(self, task_type: str, at: datetime, task_id: str | None = None) -> None:
        """That time needs no look any more; `task_id` is what was submitted for it."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(KEY, task_type, timestamp(at))
            if task_id is not None:
                body = dumps({"at": timestamp(at), "task_id": task_id}).decode()
                pipeline.hset(SUBMITTED, task_type, body)
            await pipeline.execute()

    async def submitted(self) -> dict[str, Submitted]:
        """The last of each type."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hgetall(SUBMITTED)
            (stored,) = await pipeline.execute()
        found = {name.decode(): loads(body) for name, body in stored.items()}
        return {
            name: Submitted(moment(body["at"]), body["task_id"]) for name, body in found.items()
        }
