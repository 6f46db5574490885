"""The drivers' half of the harness's protocol: commands as JSON lines, one line in answer to each.
Standard library only: this runs in each peer's own environment.

Commands, by `do`, and their answers (times in seconds of the monotonic clock, which all processes
of a machine share):

    ready                           {} once a task has come back: the worker runs
    run      kind, count            {began, submitted, finished}: submit all, await all results
    latency  count                  {result: [ms, ...], ...}: one at a time, nothing else running
    submit   kind, count            {began, submitted}: without waiting for the results
    drain                           {first, half, finished}: await what `submit` left
    await    ids, kind              {finished}: await tasks that somebody else submitted
    versions packages               {name: version}
    stop                            {} and ends

An answer {"error": text} means that the command failed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from work import EXPECTED

BATCH = 50
"""Results that are asked for at once: looking is not to cost what it looks at."""
CHECKED = 5
"""Results of a run that are read as a user of the library would, and compared."""
LOOK_EVERY = 0.02
NUDGE_AFTER = 2.0
GATHERED = 200
"""Submissions in flight at once, where the library is asynchronous."""

Command = Mapping[str, Any]


def amqp_url() -> str:
    return os.environ["BENCH_AMQP_URL"]


def redis_url() -> str:
    return os.environ["BENCH_REDIS_URL"]


class WrongResult(Exception):
    """A task has finished with something else than its work's result."""


class Driver(ABC):
    """Submits to one system and watches its results. Handles are whatever the system gives."""

    returns_results = True
    blocking = False
    """Does submitting block its thread? Then an HTTP front calls `submit_one_blocking` in one."""

    async def open(self) -> None:  # noqa: B027
        """Connect."""

    async def close(self) -> None:  # noqa: B027
        """Disconnect."""

    @abstractmethod
    async def submit(self, kind: str, count: int) -> list[Any]:
        """Submit so many; returns when the library says that all are sent."""

    @abstractmethod
    async def finished(self, kind: str, handles: Sequence[Any]) -> list[bool]:
        """Which of them have a result that can be read: asked of the store in one round trip."""

    @abstractmethod
    async def result(self, kind: str, handle: Any) -> Any:
        """A finished task's result, read as the library documents it."""

    async def submit_one(self) -> str:
        """A tiny task for the HTTP front; returns its id."""
        return str((await self.submit("tiny", 1))[0])

    def submit_one_blocking(self) -> str:
        raise NotImplementedError

    def of_id(self, task_id: str) -> Any:
        """The handle of a task that the HTTP front has submitted."""
        return task_id

    def waits(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Ways to submit one tiny task and await its end, by what is awaited."""
        raise NotImplementedError

    async def nudge(self) -> None:  # noqa: B027
        """Nothing has finished for `NUDGE_AFTER`: where a worker has to be woken, wake it."""

    async def settle(self, handles: Sequence[Any]) -> dict[str, Any]:
        """Await what goes on after the results are there (a history); figures on it."""
        return {}

    # what follows is the same for all

    async def ready(self, _: Command) -> dict[str, Any]:
        handles = await self.submit("tiny", 1)
        await self._finish("tiny", handles)
        await self.settle(handles)
        return {}

    async def run(self, command: Command) -> dict[str, Any]:
        kind = command["kind"]
        began = time.monotonic()
        handles = await self.submit(kind, command["count"])
        submitted = time.monotonic()
        await self._finish(kind, handles)
        finished = time.monotonic()
        await self._check(kind, handles)
        more = await self.settle(handles)
        return {"began": began, "submitted": submitted, "finished": finished, **more}

    async def latency(self, command: Command) -> dict[str, Any]:
        answer: dict[str, list[float]] = {}
        for name, wait in self.waits().items():
            await wait()
            answer[name] = []
            for _ in range(command["count"]):
                began = time.perf_counter()
                await wait()
                answer[name].append(1000 * (time.perf_counter() - began))
        return answer

    async def submit_only(self, command: Command) -> dict[str, Any]:
        self._kind = command["kind"]
        began = time.monotonic()
        self._left = await self.submit(command["kind"], command["count"])
        return {"began": began, "submitted": time.monotonic()}

    async def drain(self, _: Command) -> dict[str, Any]:
        moments: dict[str, float] = {}
        await self._finish(self._kind, self._left, moments)
        await self._check(self._kind, self._left)
        more = await self.settle(self._left)
        return {**moments, **more}

    async def await_others(self, command: Command) -> dict[str, Any]:
        handles = [self.of_id(task_id) for task_id in command["ids"]]
        await self._finish(command["kind"], handles)
        finished = time.monotonic()
        await self._check(command["kind"], handles)
        return {"finished": finished, **await self.settle(handles)}

    async def _finish(
        self, kind: str, handles: Sequence[Any], moments: dict[str, float] | None = None
    ) -> None:
        """Look at the oldest that are open, `BATCH` at a time, until none is."""
        moments = {} if moments is None else moments
        left = list(handles)
        half = len(left) // 2
        moved = time.monotonic()
        while left:
            done = await self.finished(kind, left[:BATCH])
            open_ones = [one for one, is_done in zip(left, done, strict=False) if not is_done]
            left[:BATCH] = open_ones
            if any(done):
                moved = time.monotonic()
                moments.setdefault("first", moved)
            elif time.monotonic() - moved > NUDGE_AFTER:
                moved = time.monotonic()
                await self.nudge()
            if len(left) <= half:
                moments.setdefault("half", time.monotonic())
            if open_ones:
                await asyncio.sleep(LOOK_EVERY)
        moments["finished"] = time.monotonic()

    async def _check(self, kind: str, handles: Sequence[Any]) -> None:
        if not self.returns_results:
            return
        for handle in handles[:: max(1, len(handles) // CHECKED)]:
            result = await self.result(kind, handle)
            if result != EXPECTED[kind]:
                raise WrongResult(f"{kind}: {result!r:.200} instead of {EXPECTED[kind]!r:.200}")


async def gathered(count: int, submit: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Submit `count` times, `GATHERED` in flight."""
    handles: list[Any] = []
    for start in range(0, count, GATHERED):
        width = min(GATHERED, count - start)
        handles += await asyncio.gather(*[submit() for _ in range(width)])
    return handles


async def serve(driver: Driver) -> None:
    """Answer commands until `stop`."""
    verbs = {
        "ready": driver.ready,
        "run": driver.run,
        "latency": driver.latency,
        "submit": driver.submit_only,
        "drain": driver.drain,
        "await": driver.await_others,
    }
    verbs |= getattr(driver, "more_verbs", {})
    await driver.open()
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            if command["do"] == "stop":
                break
            if command["do"] == "versions":
                answer = {name: version(name) for name in command["packages"]}
            else:
                try:
                    answer = await verbs[command["do"]](command)
                except Exception as error:  # the harness is told, and goes on with the next
                    traceback.print_exc()
                    answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)
    finally:
        await driver.close()
    print("{}", flush=True)
