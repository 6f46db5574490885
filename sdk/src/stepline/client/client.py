"""The async client: submit, watch, wait."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx2
from pydantic import ValidationError

from stepline.client.bulk import Bulk
from stepline.client.dead_letters import DeadLetters
from stepline.client.exports import Exports
from stepline.client.failures import Failures
from stepline.client.listing import Listing, query
from stepline.client.queues import Queues
from stepline.client.schedules import Schedules
from stepline.client.submitting import Submitting
from stepline.client.task import Task
from stepline.client.transport import Transport
from stepline.client.users import Users
from stepline.client.workers import Workers
from stepline.contract import (
    ActiveTasks,
    DemoTasks,
    Event,
    EventKind,
    FeedEvent,
    FeedReset,
    Health,
    Stats,
    Status,
    TaskPage,
    TaskSummary,
    TaskTypeInfo,
    TaskTypes,
    Ticket,
)
from stepline.contract.events import parse_feed_event
from stepline.errors import InvalidAnswer


class Client(Submitting):
    """One deployment of Stepline. Use it as an async context manager.

    `timeout`: seconds that one answer may take. `patience`: seconds for which what fails in passing
    (no connection, 429, 502, 503, 504) is repeated with growing pauses, or as `Retry-After` says,
    before the error is raised; a stream that is broken off is taken up again for as long. 0: never.
    What is not known to be safe to repeat is not.

    Examples:
        >>> async with Client(url) as client:
        ...     task = await client.submit("quick", {"numbers": [1, 2, 3]})
        ...     print((await task.wait())["sum"])
        6
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float = 40.0,
        patience: float = 30.0,
    ) -> None:
        self._transport = Transport(url, api_key, timeout=timeout, patience=patience)
        self.url = self._transport.url
        self.users = Users(self._transport)
        self.dead_letters = DeadLetters(self._transport)
        self.bulk = Bulk(self._transport)
        self.exports = Exports(self._transport)
        self.failures = Failures(self._transport)
        self.queues = Queues(self._transport)
        self.workers = Workers(self._transport)
        self.schedules = Schedules(self._transport)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections; `async with` does it by itself.

        Examples:
            >>> other = Client(url)
            >>> await other.close()
        """
        await self._transport.close()

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Any request, for what this class has no method for; `options` as of httpx2. Raises an
        `APIError` for an error answer, `ConnectionFailed` for none.

        Examples:
            >>> (await client.request("GET", "/health/live")).json()
            {'status': 'alive'}
        """
        return await self._transport.request(method, path, **options)

    def task(self, task_id: str) -> Task[Any]:
        """A task that was submitted before. Asks nobody: whether there is one, its methods tell.

        Examples:
            >>> (await client.task(task.id).status()).status
            <Status.SUCCESS: 'SUCCESS'>
        """
        return Task(self._transport, task_id)

    def events(self, task_id: str, *, after: str | None = None) -> AsyncGenerator[Event, None]:
        """A task's events, as `Task.events`.

        Examples:
            >>> [event.kind.value async for event in client.events(task.id)][-1]
            'succeeded'
        """
        return self.task(task_id).events(after=after)

    def list(
        self,
        *,
        status: Status | str | None = None,
        type: str | None = None,  # noqa: A002 - as the API names it
        queue: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
        worker: str | None = None,
        fingerprint: str | None = None,
        page_size: int = 50,
    ) -> Listing[TaskSummary, TaskPage]:
        """All tasks that fit, newest first. `worker`: who ran it last; `fingerprint`: of one group
        of `failures`.

        Examples:
            >>> async for found in client.list(type="quick", status="SUCCESS"):
            ...     print(found.type, found.status.value)
            ...     break
            quick SUCCESS
            >>> page = await client.list(page_size=1).page()
            >>> len(page.tasks), page.total >= 1
            (1, True)
        """
        where = query(
            status=status,
            type=type,
            queue=queue,
            since=since,
            until=until,
            text=text,
            worker=worker,
            fingerprint=fingerprint,
        )

        async def fetch(cursor: str | None) -> TaskPage:
            params = {**where, **query(cursor=cursor, limit=page_size)}
            return await self._transport.call(TaskPage, "GET", "/tasks/", params=params)

        return Listing(fetch, lambda page: page.tasks)

    async def active(self) -> ActiveTasks:
        """What the workers are doing now.

        Examples:
            >>> len((await client.active()).workers) >= 1
            True
        """
        return await self._transport.call(ActiveTasks, "GET", "/tasks/active")

    async def feed(
        self,
        *,
        type: str | None = None,  # noqa: A002 - as the API names it
        queue: str | None = None,
        status: Status | str | None = None,
        after: str | None = None,
    ) -> AsyncGenerator[FeedEvent, None]:
        """What happens to all tasks that fit, from now on (or after the event `after`; `"0"`: all
        that is kept), without end. `status`: what the task is after the event. Taken up again as
        `Task.events` is; if events were missed that are not kept any more, one `FeedReset` with
        the newest tasks comes in their place.

        Examples:
            >>> async for event in client.feed(type="quick", after="0"):
            ...     print(event.kind.value, event.type)
            ...     break
            queued quick
        """
        params = query(type=type, queue=queue, status=status)
        if after == "0":  # of the query alone
            params["after"], after = after, None
        async with aclosing(
            self._transport.frames("/events", after=after, params=params)
        ) as frames:
            async for frame in frames:
                event = _feed_event(frame.event, frame.data, frame.id)
                if event is not None:
                    yield event

    async def stats(
        self,
        window: int = 3_600,
        *,
        type: str | None = None,  # noqa: A002 - as the API names it
    ) -> Stats:
        """Throughput, failures and latency within the last `window` seconds, as totals, over time
        and by type, and what waits and runs now.

        Examples:
            >>> (await client.stats(600, type="quick")).now.workers >= 1
            True
        """
        params = query(window=window, type=type)
        return await self._transport.call(Stats, "GET", "/stats", params=params)

    async def health(self) -> Health:
        """How the service is, part by part; also when it is not well.

        Examples:
            >>> health = await client.health()
            >>> health.healthy, sorted(health.checks)
            (True, ['broker', 'database', 'redis', 'workers'])
        """
        return await self._transport.call(Health, "GET", "/health", accept={503})

    async def task_types(self) -> Sequence[TaskTypeInfo]:
        """The types that can be submitted here, each with the JSON schema of its submissions.

        Examples:
            >>> {found.name: found.path for found in await client.task_types()}["api_fetch"]
            '/tasks/api-fetch'
        """
        return (await self._transport.call(TaskTypes, "GET", "/task-types")).task_types

    async def ticket(self) -> Ticket:
        """Opens one stream of events, once, for a browser that cannot send a key.

        Examples:
            >>> ticket = await client.ticket()
            >>> f"/tasks/{task.id}/events?ticket={ticket.ticket}"
            '/tasks/.../events?ticket=...'
        """
        return await self._transport.call(Ticket, "POST", "/tickets", repeatable=True)

    async def demonstrate(self, path: str = "/demo/run-concurrent-tasks") -> DemoTasks:
        """Run a demonstration: `/demo/run-concurrent-tasks` or `/chain/demo`.

        Examples:
            >>> (await client.demonstrate("/chain/demo")).total_tasks
            6
        """
        return await self._transport.call(DemoTasks, "POST", path)


def _feed_event(kind: str, data: str, event_id: str) -> FeedEvent | None:
    try:
        if kind == EventKind.RESET:
            return FeedReset(id=event_id, snapshot=TaskPage.model_validate_json(data))
        return parse_feed_event(kind, data, event_id)
    except ValidationError as error:
        raise InvalidAnswer(f"an event {kind!r} that is none: {data[:200]}") from error
