"""Barriers: markers sent through queues, and who has seen which of them come out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infra.codec import moment, timestamp
from infra.state.redis import Connections, translated
from infra.state.store import PREFIX

KEEP = 86_400
CURRENT = f"{PREFIX}rescue"


def barrier_key(barrier: str) -> str:
    return f"{PREFIX}barrier:{barrier}"


@dataclass(frozen=True, slots=True)
class Barrier:
    """A marker under way: when it was sent, and the queues it has come through."""

    id: str
    sent_at: datetime
    passed: frozenset[str]


class Barriers:
    """At most one barrier is current."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.client(max_connections=8)

    async def close(self) -> None:
        await self._client.aclose()

    async def begin(self, barrier: str, sent_at: datetime) -> None:
        """Make `barrier` the current one. Call it before the markers are published."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(barrier_key(barrier), "sent_at", timestamp(sent_at))
            pipeline.expire(barrier_key(barrier), KEEP)
            pipeline.set(CURRENT, barrier, ex=KEEP)
            await pipeline.execute()

    async def passed(self, barrier: str, queue: str) -> None:
        """The marker came out of `queue`: all that was before it has been handed to somebody."""
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(barrier_key(barrier), f"queue:{queue}", "1")
            pipeline.expire(barrier_key(barrier), KEEP)
            await pipeline.execute()

    async def current(self) -> Barrier | None:
        with translated():
            raw = await self._client.get(CURRENT)
            if raw is None:
                return None
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hgetall(barrier_key(raw.decode()))
            (fields,) = await pipeline.execute()
        if b"sent_at" not in fields:
            return None
        queues = {key.decode().partition(":")[2] for key in fields if key.startswith(b"queue:")}
        return Barrier(raw.decode(), moment(fields[b"sent_at"].decode()), frozenset(queues))
