"""Who is alive: each worker process beats a counter, and whoever must know watches it.

A holder is dead when its counter has not moved for `DEAD_AFTER` seconds of the observer's own
monotonic clock, during which Redis answered. No clock of another machine is ever believed.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from infra.codec import dumps, loads, moment, timestamp
from infra.state.redis import REDIS_ERRORS, Connections, translated
from infra.state.store import PREFIX

BEAT_EVERY = 1.0
DEAD_AFTER = 3.0
LOOK_EVERY = 0.25
FORGET_AFTER = 60
"""Seconds after which Redis drops a process that beats no more."""

WORKERS_KEY = f"{PREFIX}workers"

log = structlog.get_logger(__name__)


def worker_key(worker: str) -> str:
    return f"{PREFIX}worker:{worker}"


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker process that beats, and the tasks it holds (ids, with the time they began)."""

    id: str
    host: str
    pid: int
    version: str
    queues: list[str]
    started_at: datetime
    active: dict[str, datetime]


class Heartbeat:
    """Beats for one process from a thread of its own, so that a blocked loop is not a death."""

    def __init__(self, connections: Connections, worker: str, info: dict[str, Any]) -> None:
        self._client = connections.blocking_client()
        self._worker = worker
        self._info = dumps(info).decode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and take the process off the list. Blocks for at most some seconds."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        try:
            self._client.zrem(WORKERS_KEY, self._worker)
            self._client.delete(worker_key(self._worker))
        except REDIS_ERRORS as error:
            log.warning("heartbeat_not_removed", error=str(error))
        finally:
            self._client.close()

    def _run(self) -> None:
        failing = False
        while not self._stop.is_set():
            try:
                self._beat()
                failing = False
            except REDIS_ERRORS as error:
                if not failing:
                    log.warning("heartbeat_failed", error=str(error))
                failing = True
            self._stop.wait(BEAT_EVERY)

    def _beat(self) -> None:
        key = worker_key(self._worker)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hincrby(key, "beat", 1)
        pipeline.hset(key, "info", self._info)
        pipeline.expire(key, FORGET_AFTER)
        pipeline.zadd(WORKERS_KEY, {self._worker: time.time()})
        pipeline.execute()


class Workers:
    """What is known of the worker processes; also the judge of their deaths."""

    def __init__(self, connections: Connections) -> None:
        self._client = connections.client(max_connections=8)

    async def close(self) -> None:
        await self._client.aclose()

    async def report(self, worker: str, active: dict[str, datetime]) -> None:
        """Say what `worker` holds now."""
        body = dumps({task_id: timestamp(since) for task_id, since in active.items()})
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(worker_key(worker), mapping={"active": body})
            pipeline.expire(worker_key(worker), FORGET_AFTER)  # it may beat no more
            await pipeline.execute()

    async def all(self) -> list[WorkerRecord]:
        """The processes that beat within the last `FORGET_AFTER` seconds and are not dead since."""
        with translated():
            names = [name.decode() for name in await self._client.zrange(WORKERS_KEY, 0, -1)]
            pipeline = self._client.pipeline(transaction=False)
            for name in names:
                pipeline.hmget(worker_key(name), ["info", "active"])
            rows = await pipeline.execute()
            gone = [name for name, row in zip(names, rows, strict=True) if row[0] is None]
            if gone:
                await self._client.zrem(WORKERS_KEY, *gone)
        return [
            _record(name, row) for name, row in zip(names, rows, strict=True) if row[0] is not None
        ]

    async def beats(self, names: Sequence[str]) -> list[int | None]:
        with translated():
            pipeline = self._client.pipeline(transaction=False)
            for name in names:
                pipeline.hget(worker_key(name), "beat")
            return [None if beat is None else int(beat) for beat in await pipeline.execute()]

    async def alive(self) -> list[WorkerRecord]:
        """The processes seen to beat now: looks twice, a little more than a beat apart."""
        workers = await self.all()
        names = [worker.id for worker in workers]
        before = await self.beats(names)
        deadline = time.monotonic() + BEAT_EVERY * 1.5
        moved: set[str] = set()
        while len(moved) < len(names) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY)
            after = await self.beats(names)
            moved |= {
                name for name, old, new in zip(names, before, after, strict=True) if new != old
            }
        return [worker for worker in workers if worker.id in moved]

    async def is_dead(self, worker: str) -> bool:
        """Watch `worker` until it beats (False) or has not for `DEAD_AFTER` seconds (True)."""
        (first,) = await self.beats([worker])
        deadline = time.monotonic() + DEAD_AFTER
        while time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY)
            (beat,) = await self.beats([worker])
            if beat != first:
                return False
        return True


def _record(name: str, row: list[bytes | None]) -> WorkerRecord:
    info = loads(row[0] or b"{}")
    active = loads(row[1] or b"{}")
    return WorkerRecord(
        id=name,
        host=info["host"],
        pid=info["pid"],
        version=info["version"],
        queues=info["queues"],
        started_at=moment(info["started_at"]),
        active={task_id: moment(since) for task_id, since in active.items()},
    )
