"""What is compared: how each is started, and how an event gets into it."""

from __future__ import annotations

import subprocess
import sys
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
import uuid_utils
from stepline.contract import EventKind

from benchmarks.sse.processes import ROOT, Server, Services
from infra.codec import dumps, now, timestamp
from infra.envelope import TaskMessage
from infra.services.ports import HOST, free_port
from infra.state.models import NewEvent, Yours
from infra.state.redis import Connections
from infra.state.store import State

QUEUE = "quick_tasks"
TOKEN = "benchmark"


class Subject(ABC):
    """A server of event streams, and the writer of its events."""

    key: str
    label: str
    server: Server

    @abstractmethod
    async def open_task(self) -> str:
        """The id of a new task that runs."""

    @abstractmethod
    async def publish(self, task_id: str, number: int, padding: str) -> None:
        """Tell of one event: it carries its number and the time."""

    async def close(self) -> None:
        await self.server.stop()
        self.server.kill()


def event_data(task_id: str, number: int, padding: str) -> dict[str, Any]:
    """A piece of output as a worker writes it. What is in `data` the crowd looks for."""
    data = {"n": number, "sent": time.monotonic_ns()}
    return {
        "task_id": task_id,
        "kind": EventKind.STEP_OUTPUT,
        "attempt": 1,
        "at": timestamp(now()),
        "handler": "generate",
        "index": 0,
        "data": data | {"padding": padding} if padding else data,
    }


class Stepline(Subject):
    """Events go into Redis by the script that workers use: kept, numbered, announced."""

    key = "stepline"
    label = "Stepline"

    def __init__(self, services: Services) -> None:
        port = free_port()
        environment = services.environment() | {
            "STEPLINE_API_PORT": str(port),
            "STEPLINE_LOG_LEVEL": "warning",
        }
        subprocess.run(
            [sys.executable, "-m", "infra.history"],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )
        self.server = Server(["api"], environment, port)
        self._state = State(Connections(services.redis.url))

    async def open_task(self) -> str:
        task = TaskMessage(
            id=str(uuid_utils.uuid7()),
            type="quick",
            handlers=("generate",),
            payload={},
            created_at=datetime.now(UTC),
        )
        await self._state.submit(QUEUE, task)
        claim = await self._state.claim(QUEUE, task, token=TOKEN, worker="benchmark@a:1")
        assert isinstance(claim, Yours)
        return task.id

    async def publish(self, task_id: str, number: int, padding: str) -> None:
        body = dumps(event_data(task_id, number, padding))
        event = NewEvent((1, number + 2), EventKind.STEP_OUTPUT, body)
        answer = await self._state.write(task_id, TOKEN, events=[event])
        assert answer == "ok", answer

    async def close(self) -> None:
        await super().close()
        await self._state.close()


class Plain(Subject):
    """Events are published, and kept nowhere."""

    key = "plain"
    label = "sse-starlette"

    def __init__(self, services: Services) -> None:
        port = free_port()
        command = ["uvicorn", "benchmarks.sse.plain:app", "--host", HOST, "--port", str(port)]
        command += ["--no-access-log", "--log-level", "warning", "--loop", "uvloop"]
        command += ["--timeout-graceful-shutdown", "10", "--http", "httptools"]
        self.server = Server(command, {"REDIS_URL": services.redis.url}, port)
        self._redis: redis.Redis = redis.Redis.from_url(services.redis.url)

    async def open_task(self) -> str:
        return str(uuid_utils.uuid7())

    async def publish(self, task_id: str, number: int, padding: str) -> None:
        await self._redis.publish(f"task:{task_id}", dumps(event_data(task_id, number, padding)))

    async def close(self) -> None:
        await super().close()
        await self._redis.aclose()


SUBJECTS: dict[str, type[Subject]] = {"stepline": Stepline, "plain": Plain}


def make(key: str, services: Services) -> Subject:
    return SUBJECTS[key](services)  # type: ignore[call-arg]
