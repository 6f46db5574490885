"""The async client: submit, watch, wait.

async with Client("http://127.0.0.1:8000") as client:
    task = await client.submit("quick", {"numbers": [1, 2, 3]})
    async for event in task.events():
        print(event.kind, event.percent)
    print(await task.wait())
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx2
from pydantic import BaseModel

from stepline.contract import Accepted, DemoTasks, Event, Problem, Status, TaskResult, TaskStatus
from stepline.errors import (
    APIError,
    BadRequest,
    Conflict,
    ConnectionFailed,
    NotFound,
    TaskFailed,
    Unauthorized,
    Unavailable,
    WaitTimeout,
)

PATHS = {
    "api_fetch": "/tasks/api-fetch",
    "chain": "/chain/process",
    "chain_batch": "/chain/batch",
    "chain_dynamic": "/chain/dynamic",
}
"""Where a type's submissions go, when not to `/tasks/<type>`."""

ERRORS: dict[int, type[APIError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    413: BadRequest,
    415: BadRequest,
    422: BadRequest,
    429: Unavailable,
    503: Unavailable,
}

STREAM_TIMEOUT = httpx2.Timeout(10.0, read=45.0)
"""The server sends a heartbeat each 15 s: three missed ones are a dead connection."""


def error_of(response: httpx2.Response) -> APIError:
    """The exception for an error answer; one that is no problem+json gets the code `http_error`."""
    code, detail, errors = "http_error", response.text[:500], []
    if "problem+json" in response.headers.get("content-type", ""):
        problem = Problem.model_validate_json(response.content)
        code = problem.type.rpartition("/")[2]
        detail = problem.detail
        errors = [item.model_dump() for item in problem.errors]
    retry_after = response.headers.get("retry-after", "")
    return ERRORS.get(response.status_code, APIError)(
        detail or f"HTTP {response.status_code}",
        status=response.status_code,
        code=code,
        errors=errors,
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
    )


class Client:
    """A connection to one deployment. Use it as an async context manager."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float = 40.0,
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx2.AsyncClient(base_url=self.url, timeout=timeout, headers=headers)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request; raises an `APIError` for an error answer, `ConnectionFailed` for none."""
        try:
            response = await self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise ConnectionFailed(f"{self.url}: {type(error).__name__}: {error}") from error
        if response.is_error:
            raise error_of(response)
        return response

    async def submit(
        self, task_type: str, payload: BaseModel | Mapping[str, Any], *, wait: float = 0.0
    ) -> Task:
        """Submit a task. `wait`: seconds (at most 30) that the server may wait for its end."""
        body = (
            payload.model_dump(mode="json", exclude_unset=True)
            if isinstance(payload, BaseModel)
            else dict(payload)
        )
        prefer = f"wait={wait:g}" if wait else "respond-async"
        path = PATHS.get(task_type, f"/tasks/{task_type}")
        response = await self.request("POST", path, json=body, headers={"Prefer": prefer})
        return Task(self, Accepted.model_validate_json(response.content).task_id)

    async def demonstrate(self, path: str) -> DemoTasks:
        """Run a demonstration: `/demo/run-concurrent-tasks` or `/chain/demo`."""
        response = await self.request("POST", path)
        return DemoTasks.model_validate_json(response.content)

    def task(self, task_id: str) -> Task:
        """A task that was submitted before."""
        return Task(self, task_id)

    async def events(self, task_id: str, *, after: str | None = None) -> AsyncIterator[Event]:
        """A task's events to its end, each once: a lost connection is made again and goes on after
        the last event. `after` begins after that id."""
        last, pause = after, 0.2
        while True:
            headers = {"Last-Event-ID": last} if last else {}
            try:
                async with self._http.stream(
                    "GET", f"/tasks/{task_id}/events", headers=headers, timeout=STREAM_TIMEOUT
                ) as response:
                    if response.is_error:
                        await response.aread()
                        raise error_of(response)
                    if response.status_code == 204:
                        return
                    async for event_id, event in _events(response):
                        last, pause = event_id, 0.2
                        if event is None:
                            continue
                        yield event
                        if event.kind.terminal:
                            return
            except httpx2.TransportError:
                pass
            except Unavailable as error:
                pause = max(pause, error.retry_after or 0.0)
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, 5.0)


class Task:
    """A submitted task."""

    def __init__(self, client: Client, task_id: str) -> None:
        self._client = client
        self.id = task_id

    def __repr__(self) -> str:
        return f"Task({self.id!r})"

    async def status(self) -> TaskStatus:
        response = await self._client.request("GET", f"/tasks/{self.id}/status")
        return TaskStatus.model_validate_json(response.content)

    async def result(self) -> TaskResult:
        """The result as it stands now; its `status` says whether the task has ended."""
        response = await self._client.request("GET", f"/tasks/{self.id}/result")
        return TaskResult.model_validate_json(response.content)

    def events(self, *, after: str | None = None) -> AsyncIterator[Event]:
        return self._client.events(self.id, after=after)

    async def finished(self, timeout: float | None = None) -> TaskResult:
        """Wait for the end, however it is. Raises `WaitTimeout` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                async for _ in self.events():
                    pass
                return await self.result()
        except TimeoutError:
            raise WaitTimeout(f"{self.id} had not ended after {timeout:g} s") from None

    async def wait(self, timeout: float | None = None) -> Any:
        """The task's result, once it has one. Raises `TaskFailed` if it ended badly."""
        ended = await self.finished(timeout)
        if ended.status is Status.SUCCESS:
            return ended.result
        code, message = "failed", ended.message
        if ended.error is not None:
            code, message = ended.error.code, ended.error.message
        raise TaskFailed(message, code=code, task_id=self.id, status=ended.status)


async def _events(response: httpx2.Response) -> AsyncIterator[tuple[str, Event | None]]:
    """(id, event) of a stream; None for a snapshot (`reset`), after which the stream goes on."""
    event_id, kind, data = "", "", ""
    async for line in response.aiter_lines():
        if not line:
            if data:
                yield event_id, None if kind == "reset" else Event.model_validate_json(data)
            kind, data = "", ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            event_id = value
        elif name == "event":
            kind = value
        elif name == "data":
            data += value
