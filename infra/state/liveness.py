"""Who is alive: each worker process beats a counter, and whoever must know watches it.

A holder is dead when its counter has not moved for `DEAD_AFTER` seconds of the observer's own
monotonic clock, during which Redis answered at once: while it hangs, nobody's counter moves. No
clock of another machine is ever believed.
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
DEAD_FOR = 10.0
"""Seconds that a death is believed without another look, while the beat stands still."""
LOOK_EVERY = 0.25
FORGET_AFTER = 60
"""Seconds after which Redis drops a process that beats no more."""

WORKERS_KEY = f"{PREFIX}workers"

log = structlog.get_logger(__name__)


def worker_key(worker: str) -> str:
    return f"{PREFIX}worker:{worker}"


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker process, and the tasks it holds (ids, with the time they began). `silent_for` is
    the seconds since its last sign of life, by Redis' own clock."""

    id: str
    host: str
    pid: int
    version: str
    queues: list[str]
    started_at: datetime
    active: dict[str, datetime]
    kind: str = "worker"
    concurrency: int = 0
    """Tasks at once, per queue; 0 where a process of an older version does not say."""
    silent_for: float = 0.0

    @property
    def gone(self) -> bool:
        return self.silent_for >= DEAD_AFTER


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
        self._dead: dict[str, tuple[int, float]] = {}
        """The last beat of those seen to be dead, and when: one who held many tasks need not be
        watched again for each of them."""

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
        """The processes that beat within the last `FORGET_AFTER` seconds."""
        with translated():
            names = [name.decode() for name in await self._client.zrange(WORKERS_KEY, 0, -1)]
            pipeline = self._client.pipeline(transaction=False)
            for name in names:
                pipeline.hmget(worker_key(name), ["info", "active"])
                pipeline.pttl(worker_key(name))
            answers = await pipeline.execute()
            rows = list(zip(names, answers[::2], answers[1::2], strict=True))
            forgotten = [name for name, row, _ in rows if row[0] is None]
            if forgotten:
                await self._client.zrem(WORKERS_KEY, *forgotten)
        return [_record(name, row, left) for name, row, left in rows if row[0] is not None]

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
        """Watch `worker` until it beats (False) or has not for `DEAD_AFTER` seconds (True). Two
        looks further apart than a beat say nothing of the time between: it counts anew."""
        (first,) = await self.beats([worker])
        beat, seen = self._dead.get(worker, (None, 0.0))
        if first is not None and first == beat and time.monotonic() - seen < DEAD_FOR:
            return True
        since = looked = time.monotonic()
        while looked - since < DEAD_AFTER:
            await asyncio.sleep(LOOK_EVERY)
            (beat,) = await self.beats([worker])
            if beat != first:
                return False
            before, looked = looked, time.monotonic()
            if looked - before > BEAT_EVERY:
                since = looked
        if first is not None:
            self._dead[worker] = first, time.monotonic()
        return True


def taking(workers: Sequence[WorkerRecord], queue: str) -> list[WorkerRecord]:
    """Those that live and take from the queue, unless somebody has ordered otherwise."""
    return [worker for worker in workers if queue in worker.queues and not worker.gone]


def _record(name: str, row: list[bytes | None], left: int) -> WorkerRecord:
    """`left`: milliseconds until Redis drops the process, which each sign of life sets anew."""
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
        kind=info.get("kind", "worker"),
        concurrency=info.get("concurrency", 0),
        silent_for=max(0.0, FORGET_AFTER - left / 1000) if left >= 0 else 0.0,
    )
