"""A handle on one task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Generic

from pydantic import ValidationError
from typing_extensions import TypeVar

from stepline.client.submission import Payload, dumped, headers_of
from stepline.client.transport import Transport
from stepline.contract import (
    Accepted,
    Cancellation,
    Event,
    EventKind,
    Released,
    Reset,
    Status,
    TaskDetail,
    TaskResult,
    TaskStatus,
)
from stepline.contract.events import parse_event
from stepline.errors import Conflict, InvalidAnswer, TaskCancelled, TaskFailed, WaitTimeout

R = TypeVar("R", default=Any)

LOOK_EVERY = 0.2
"""Seconds between looks at a task whose stream has ended before it."""


class Task(Generic[R]):
    """A submitted task. Costs nothing: `client.task(task_id)` makes one of any id.

    Examples:
        >>> task = await client.submit("quick", {"numbers": [1, 2, 3]})
        >>> async for event in task.events():
        ...     print(event.kind.value)
        queued
        started
        step.started
        step.completed
        succeeded
    """

    def __init__(self, transport: Transport, task_id: str, accepted: Accepted | None = None):
        self._transport = transport
        self.id = task_id
        self.accepted = accepted
        """What the server said when it took the task on, if this handle comes from there."""

    def __repr__(self) -> str:
        return f"Task({self.id!r})"

    async def status(self) -> TaskStatus:
        """Where it is now: its status, its steps, its progress.

        Examples:
            >>> status = await task.status()
            >>> status.status.value, status.progress.percent, status.steps[0].handler
            ('SUCCESS', 100.0, 'quick')
        """
        return await self._transport.call(TaskStatus, "GET", f"/tasks/{self.id}/status")

    async def result(self) -> TaskResult:
        """The result as it stands now; its `status` says whether the task has ended.

        Examples:
            >>> (await task.result()).result["sum"]
            6
        """
        return await self._transport.call(TaskResult, "GET", f"/tasks/{self.id}/result")

    async def detail(self) -> TaskDetail:
        """The whole task in one answer: payload, result, each attempt with its steps, outputs,
        events and traceback, the log lines of its handlers, and why it waits, if it does.

        Examples:
            >>> (await task.detail()).handlers
            ['quick']
        """
        return await self._transport.call(TaskDetail, "GET", f"/tasks/{self.id}")

    async def events(self, *, after: str | None = None) -> AsyncGenerator[Event, None]:
        """Its events from the first (or the one after the id `after`) to the last, each once, as
        they happen. A lost connection is made again and goes on where it was, over restarts of the
        API too. If events were missed that are not kept any more, one `Reset` with a snapshot
        comes in their place.

        Examples:
            >>> from stepline.contract.events import StepProgress, Succeeded
            >>> task = await client.submit("long", {"duration": 1})
            >>> async for event in task.events():
            ...     match event:
            ...         case StepProgress(percent=percent, message=message):
            ...             print(percent, message)
            ...         case Succeeded(id=last):
            ...             print("done at", last)
            100.0 second 1 of 1
            done at 1-...
        """
        path = f"/tasks/{self.id}/events"
        async with aclosing(self._transport.frames(path, after=after)) as frames:
            async for frame in frames:
                event = _event(frame.event, frame.data, frame.id)
                if event is None:
                    continue
                yield event
                if event.terminal:
                    return

    async def finished(self, timeout: float | None = None) -> TaskResult:
        """Wait for the end, however it is. Raises `WaitTimeout` after `timeout` seconds.

        Examples:
            >>> (await task.finished(timeout=10)).status.value
            'SUCCESS'
        """
        if self.accepted is not None and self.accepted.status.ended:
            return _ended(self.accepted)
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                return await self._finished()
        except TimeoutError:
            if not deadline.expired():
                raise
            raise WaitTimeout(f"{self.id} had not ended after {timeout:g} s") from None

    async def _finished(self) -> TaskResult:
        while True:
            async for _ in self.events():
                pass
            result = await self.result()
            if result.status.ended:
                return result
            await asyncio.sleep(LOOK_EVERY)

    async def wait(self, timeout: float | None = None) -> R:
        """The task's result, once it has one. Raises `TaskFailed` if it ended badly,
        `WaitTimeout` after `timeout` seconds.

        Examples:
            >>> (await task.wait(timeout=10))["average"]
            2.0
        """
        ended = await self.finished(timeout)
        if ended.status is Status.SUCCESS:
            result: R = ended.result
            return result
        raise failure_of(ended)

    async def run_now(self) -> Released:
        """Let a deferred task run now, in the place of its time. Raises `Conflict`
        (`not_scheduled`, `already_ended`) for one that does not wait for it.

        Examples:
            >>> later = await client.submit("quick", {"numbers": [1]}, delay=3600)
            >>> answer = await later.run_now()
            >>> (await later.wait(timeout=10))["sum"]
            1
        """
        return await self._transport.call(Released, "POST", f"/tasks/{self.id}/run-now")

    async def cancel(self, reason: str | None = None) -> Cancellation:
        """Cancel it: a waiting task ends now (`CANCELLED`), a running one within a second
        (`RUNNING`). One that was cancelled before is no error; raises `Conflict`
        (`already_ended`) for one that ended otherwise.

        Examples:
            >>> later = await client.submit("quick", {"numbers": [1]}, delay=3600)
            >>> (await later.cancel("ordered twice")).status.value
            'CANCELLED'
        """
        body = {} if reason is None else {"reason": reason}
        try:
            return await self._transport.call(
                Cancellation, "POST", f"/tasks/{self.id}/cancel", body=body, repeatable=True
            )
        except Conflict:
            status = await self.status()
            if status.status is not Status.CANCELLED:
                raise
            return Cancellation(
                task_id=self.id, status=status.status, message=status.message, links=status.links
            )

    async def retry(
        self,
        *,
        from_step: int | str | None = None,
        payload: Payload | None = None,
        wait: float = 0.0,
        idempotency_key: str | None = None,
    ) -> Task[R]:
        """A new task from this ended one: from its first step, or from the index or name of a
        later one, with the outputs before it taken over; `payload` stands in for the old one.
        Raises `Conflict` (`not_ended`, `checkpoint_missing`).

        Examples:
            >>> again = await task.retry(payload={"numbers": [10]})
            >>> (await again.wait())["sum"]
            10
        """
        body: dict[str, Any] = {}
        if from_step is not None:
            body["from_step"] = from_step
        if payload is not None:
            body["payload"] = dumped(payload)
        headers = headers_of(wait, idempotency_key)
        return await accepted(self._transport, f"/tasks/{self.id}/retry", body, headers)


async def accepted(
    transport: Transport, path: str, body: dict[str, Any], headers: dict[str, str]
) -> Task[Any]:
    """POST what makes a task."""
    answer = await transport.call(Accepted, "POST", path, body=body, headers=headers)
    return Task(transport, answer.task_id, answer)


def _event(kind: str, data: str, event_id: str) -> Event | None:
    try:
        if kind == EventKind.RESET:
            return Reset(id=event_id, snapshot=TaskStatus.model_validate_json(data))
        return parse_event(kind, data, event_id)
    except ValidationError as error:
        raise InvalidAnswer(f"an event {kind!r} that is none: {data[:200]}") from error


def _ended(answer: Accepted) -> TaskResult:
    return TaskResult(
        task_id=answer.task_id,
        task_name=answer.task_name,
        type=answer.type,
        status=answer.status,
        message=answer.message,
        result=answer.result,
        error=answer.error,
    )


def failure_of(ended: TaskResult) -> TaskFailed:
    """The exception for a task that ended badly."""
    code, message = "failed", ended.message
    if ended.error is not None:
        code, message = ended.error.code, ended.error.message
    kind = TaskCancelled if ended.status is Status.CANCELLED else TaskFailed
    return kind(message, code=code, ended=ended)
