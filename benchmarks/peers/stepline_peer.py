"""Stepline, by its public face: HTTP.

Whether tasks have ended is seen in Redis, as with the peers; the results of a sample are read over
HTTP. One POST a task on 64 connections; or, with BENCH_VIA=bulk, a thousand tasks a POST on four.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import pymysql
import redis.asyncio as async_redis
from driving import Driver, redis_url
from http_client import Connection, Stream, request_bytes
from work import LARGE, NUMBERS

from infra.state.store import task_key

CONNECTIONS = 64
BULK = 1_000
"""Tasks of one bulk submission."""
BULK_CONNECTIONS = 4
LOOK_EVERY = 0.05
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "tiny": ("quick", {"numbers": NUMBERS}),
    "chain": ("bench_chain", {"number": 0}),
    "io": ("bench_io", {}),
    "large": ("bench_large", {"text": LARGE}),
}


class SubmissionRefused(Exception):
    """The API answered a submission with an error."""


class SteplineDriver(Driver):
    def __init__(self) -> None:
        self.url = os.environ["BENCH_API_URL"]
        self.requests = {
            kind: self._post(f"/tasks/{name}", payload, "Prefer: respond-async")
            for kind, (name, payload) in KINDS.items()
        }
        self.in_bulk = os.environ.get("BENCH_VIA") == "bulk"
        self.more_verbs = {"pace": self.pace, "pages": self.pages}

    def _post(self, path: str, payload: Any, *headers: str) -> bytes:
        return request_bytes(self.url, "POST", path, json.dumps(payload).encode(), headers)

    async def open(self) -> None:
        self.redis: Any = async_redis.Redis.from_url(redis_url())
        self.connections = [Connection(self.url) for _ in range(CONNECTIONS)]
        self.stream = Stream(self.url)
        self.database: Any = pymysql.connect(
            host="127.0.0.1",
            port=int(os.environ["BENCH_MYSQL_PORT"]),
            user="root",
            database=os.environ["BENCH_MYSQL_DATABASE"],
            autocommit=True,
        )

    async def close(self) -> None:
        for connection in self.connections:
            connection.close()
        await self.stream.close()
        await self.redis.aclose()
        self.database.close()

    async def submit(self, kind: str, count: int) -> list[str]:
        if self.in_bulk:
            return await self._submit_in_bulk(kind, count)
        ids: list[str] = []
        left = iter(range(count))

        async def send(connection: Connection) -> None:
            for _ in left:
                ids.append(await self._one(connection, kind))  # noqa: PERF401

        await asyncio.gather(*[send(connection) for connection in self.connections])
        return ids

    async def _submit_in_bulk(self, kind: str, count: int) -> list[str]:
        name, payload = KINDS[kind]
        item = {"type": name, "payload": payload}
        ids: list[str] = []
        left = iter(range(0, count, BULK))

        async def send(connection: Connection) -> None:
            for start in left:
                request = self._post("/tasks/bulk", [item] * min(BULK, count - start))
                status, body = await connection.request(request)
                if status != 202:
                    raise SubmissionRefused(f"{status}: {body[:200]!r}")
                ids.extend(accepted["task_id"] for accepted in json.loads(body)["items"])

        await asyncio.gather(*[send(one) for one in self.connections[:BULK_CONNECTIONS]])
        return ids

    async def _one(self, connection: Connection, kind: str) -> str:
        status, body = await connection.request(self.requests[kind])
        if status not in (200, 202):
            raise SubmissionRefused(f"{status}: {body[:200]!r}")
        return str(json.loads(body)["task_id"])

    async def finished(self, kind: str, handles: Sequence[str]) -> list[bool]:
        async with self.redis.pipeline(transaction=False) as pipeline:
            for handle in handles:
                pipeline.hget(task_key(handle), "status")
            answers = await pipeline.execute()
        return [answer in (b"SUCCESS", b"FAILURE") for answer in answers]

    async def result(self, kind: str, handle: str) -> Any:
        request = request_bytes(self.url, "GET", f"/tasks/{handle}/result")
        _, body = await self.connections[0].request(request)
        return json.loads(body)["result"]

    async def settle(self, handles: Sequence[str]) -> dict[str, Any]:
        """Await the history: when it has all, and how far behind it was when they had ended."""
        behind = len(handles) - self.recorded(min(handles))
        while self.recorded(min(handles)) < len(handles):  # noqa: ASYNC110  (it is in a database)
            await asyncio.sleep(LOOK_EVERY)
        return {"recorded": time.monotonic(), "behind": behind}

    def recorded(self, since_id: str) -> int:
        """Ended rows of tasks as old as this one or younger: a range of the primary key."""
        return self._ask(
            "SELECT COUNT(*) FROM tasks WHERE id >= %s AND unfinished IS NULL", since_id
        )

    def _ask(self, statement: str, *values: Any) -> int:
        with self.database.cursor() as cursor:
            cursor.execute(statement, values)
            return int(cursor.fetchone()[0])

    def waits(self) -> dict[str, Any]:
        waiting = self._post("/tasks/quick", {"numbers": NUMBERS}, "Prefer: wait=10")
        streaming = self._post("/tasks/quick", {"numbers": NUMBERS}, "Accept: text/event-stream")

        async def result() -> None:
            status, body = await self.connections[0].request(waiting)
            if status != 200:
                raise SubmissionRefused(f"{status}: {body[:200]!r}")

        async def event() -> None:
            await self.stream.until(streaming, b"event: succeeded")

        return {"result": result, "event": event}

    async def pace(self, command: Any) -> dict[str, Any]:
        """Offer `rate` tiny tasks a second for `seconds`; how far the history is behind, at
        the half and at the end."""
        rate, seconds = command["rate"], command["seconds"]
        began = time.monotonic()
        sent: list[str] = []
        lags: list[int] = []
        left = iter(range(int(rate * seconds)))
        half, last = int(rate * seconds / 2), int(rate * seconds) - 1

        async def send(connection: Connection) -> None:
            for number in left:
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
                sent.append(await self._one(connection, "tiny"))
                if number in (half, last):
                    done = await asyncio.to_thread(self.recorded, min(sent[:CONNECTIONS]))
                    lags.append(len(sent) - done)

        await asyncio.gather(*[send(connection) for connection in self.connections])
        accepted = time.monotonic()
        await self._finish("tiny", sent)
        finished = time.monotonic()
        settled = await self.settle(sent)
        return {"began": began, "accepted": accepted, "finished": finished, "lags": lags} | settled

    async def pages(self, command: Any) -> dict[str, Any]:
        """Milliseconds of each list, `count` times."""
        answer: dict[str, list[float]] = {}
        for path in command["paths"]:
            request = request_bytes(self.url, "GET", path)
            took = []
            for _ in range(command["count"]):
                began = time.perf_counter()
                status, body = await self.connections[0].request(request)
                took.append(1000 * (time.perf_counter() - began))
                if status != 200:
                    raise SubmissionRefused(f"{path}: {status}: {body[:200]!r}")
            answer[path] = took
        return answer


DRIVER = SteplineDriver
ONE = ["python", "stepline_types.py", "workers", "1"]
WORKERS = {
    "throughput": ["python", "stepline_types.py", "workers", "2"],
    "io": ONE,
    "single": ONE,
}
