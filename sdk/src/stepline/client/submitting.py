"""Submitting, typed: which request gives which result."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeVar, overload

from typing_extensions import Unpack

from stepline.authoring import TaskType
from stepline.client.problems import error_from
from stepline.client.submission import (
    Payload,
    SubmitOptions,
    Submittable,
    item_of,
    submission_of,
)
from stepline.client.task import Task, accepted
from stepline.client.transport import Transport
from stepline.contract import (
    BatchRequest,
    BatchResult,
    ChainBatchReport,
    ChainBatchRequest,
    ChainReport,
    ChainRequest,
    DynamicChainRequest,
    EmailRequest,
    EmailResult,
    FetchRequest,
    FetchResult,
    LongRequest,
    LongResult,
    Named,
    QuickRequest,
    QuickResult,
    SubmissionAnswer,
    SubmissionAnswers,
    TaskResult,
)
from stepline.errors import ClientError, InvalidAnswer

T = TypeVar("T")
Options = SubmitOptions

MOST_IN_BULK = 10_000
"""Submissions that the server takes in one request."""


class Submitting:
    """The part of the client that submits."""

    _transport: Transport

    @overload
    async def submit(
        self, what: LongRequest, /, **options: Unpack[Options]
    ) -> Task[LongResult]: ...
    @overload
    async def submit(
        self, what: QuickRequest, /, **options: Unpack[Options]
    ) -> Task[QuickResult]: ...
    @overload
    async def submit(
        self, what: EmailRequest, /, **options: Unpack[Options]
    ) -> Task[EmailResult]: ...
    @overload
    async def submit(
        self, what: BatchRequest, /, **options: Unpack[Options]
    ) -> Task[BatchResult]: ...
    @overload
    async def submit(
        self, what: FetchRequest, /, **options: Unpack[Options]
    ) -> Task[FetchResult]: ...
    @overload
    async def submit(
        self, what: ChainRequest | DynamicChainRequest, /, **options: Unpack[Options]
    ) -> Task[ChainReport]: ...
    @overload
    async def submit(
        self, what: ChainBatchRequest, /, **options: Unpack[Options]
    ) -> Task[ChainBatchReport]: ...
    @overload
    async def submit(
        self, what: Literal["long"], payload: Payload, /, **options: Unpack[Options]
    ) -> Task[LongResult]: ...
    @overload
    async def submit(
        self, what: Literal["quick"], payload: Payload, /, **options: Unpack[Options]
    ) -> Task[QuickResult]: ...
    @overload
    async def submit(
        self, what: Literal["email"], payload: Payload, /, **options: Unpack[Options]
    ) -> Task[EmailResult]: ...
    @overload
    async def submit(
        self, what: Literal["batch"], payload: Payload, /, **options: Unpack[Options]
    ) -> Task[BatchResult]: ...
    @overload
    async def submit(
        self, what: Literal["api_fetch"], payload: Payload, /, **options: Unpack[Options]
    ) -> Task[FetchResult]: ...
    @overload
    async def submit(
        self,
        what: Literal["chain", "chain_dynamic"],
        payload: Payload,
        /,
        **options: Unpack[Options],
    ) -> Task[ChainReport]: ...
    @overload
    async def submit(
        self, what: Literal["chain_batch"], payload: Payload, /, **options: Unpack[Options]
    ) -> Task[ChainBatchReport]: ...
    @overload
    async def submit(
        self, what: str | TaskType, payload: Payload, /, **options: Unpack[Options]
    ) -> Task[Any]: ...

    async def submit(
        self,
        what: str | TaskType | Named,
        payload: Payload | None = None,
        /,
        **options: Unpack[Options],
    ) -> Task[Any]:
        """Submit a task: a request model, or the name of any type and its payload.

        `options` are those of `SubmitOptions`: `task_name`, `delay`, `run_at`, `expires_in`,
        `deadline`, `wait`, `idempotency_key`. The submission is repeated while the server cannot
        take it, always with the same key: however often, it is one task.

        Raises `BadRequest` for a payload that is none, `NotFound` for an unknown type,
        `Unavailable` or `ConnectionFailed` once the client's patience is at its end: whether the
        task was accepted is then unknown, and the same `idempotency_key` would find out.

        Examples:
            >>> from stepline.contract import QuickRequest
            >>> task = await client.submit(QuickRequest(numbers=[1, 2, 3]), task_name="of a model")
            >>> task = await client.submit("quick", {"numbers": [1, 2, 3]}, wait=5)
            >>> await task.wait()
            {'sum': 6, 'average': 2.0, 'max': 3, 'min': 1, 'count': 3}
        """
        submission = submission_of(what, payload, options)
        return await accepted(self._transport, submission.path, submission.body, submission.headers)

    async def submit_many(
        self, items: Iterable[Submittable], /, *, concurrency: int = 16, **options: Unpack[Options]
    ) -> builtins.list[Task[Any] | ClientError]:
        """Submit many: request models, or pairs of a type and a payload. At most `concurrency` at
        a time; the answer has, in the items' order, a task each, or why there is none. `options`
        are for all of them (without a key: each has its own).

        Examples:
            >>> items = [("quick", {"numbers": [n]}) for n in (1, 2)] + [("quick", {"numbers": []})]
            >>> await client.submit_many(items, concurrency=8)
            [Task('...'), Task('...'), BadRequest('numbers: ...')]
        """

        async def submit(item: Submittable) -> Task[Any]:
            what, payload = (item, None) if isinstance(item, Named) else item
            submission = submission_of(what, payload, options)
            return await accepted(
                self._transport, submission.path, submission.body, submission.headers
            )

        return await gather_bounded(submit, _without_key(items, options), concurrency)

    async def submit_bulk(
        self, items: Iterable[Submittable], /, **options: Unpack[Options]
    ) -> builtins.list[Task[Any] | ClientError]:
        """As `submit_many`, by a request for each 10,000: for many small ones, and many times
        faster. Nothing is waited for. A request is repeated while the server takes nothing at all;
        what it refuses alone is its own error, `Unavailable` for what may be tried again.

        Examples:
            >>> tasks = await client.submit_bulk([("quick", {"numbers": [n]}) for n in range(100)])
            >>> len(tasks), (await tasks[99].wait())["sum"]
            (100, 99)
        """
        if "wait" in options:
            raise TypeError("submit_bulk waits for nothing: wait for the tasks that it gives")
        bodies = [item_of(item, options) for item in _without_key(items, options)]
        found: builtins.list[Task[Any] | ClientError] = []
        for start in range(0, len(bodies), MOST_IN_BULK):
            page = bodies[start : start + MOST_IN_BULK]
            answer = await self._transport.call(
                SubmissionAnswers, "POST", "/tasks/bulk", body=page, repeatable=True
            )
            found += [_task_or_error(self._transport, item) for item in answer.items]
        return found

    async def batch(
        self,
        items: Iterable[Submittable],
        /,
        *,
        concurrency: int = 16,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> builtins.list[TaskResult | ClientError]:
        """Submit many and wait for their ends: at most `concurrency` are under way at a time. The
        answer has, in the items' order, how each ended (however it was), or why nobody knows.
        `timeout`: seconds for each.

        Examples:
            >>> ended = await client.batch([("quick", {"numbers": [n]}) for n in range(3)])
            >>> [result.result["sum"] for result in ended]
            [0, 1, 2]
        """

        async def run(item: Submittable) -> TaskResult:
            what, payload = (item, None) if isinstance(item, Named) else item
            submission = submission_of(what, payload, options)
            task = await accepted(
                self._transport, submission.path, submission.body, submission.headers
            )
            return await task.finished(timeout)

        return await gather_bounded(run, _without_key(items, options), concurrency)


def _task_or_error(transport: Transport, answer: SubmissionAnswer) -> Task[Any] | ClientError:
    if answer.task_id is not None:
        return Task(transport, answer.task_id)
    if answer.problem is None:
        return InvalidAnswer("an item of a bulk submission has neither a task nor a problem")
    return error_from(answer.problem, answer.problem.status)


def _without_key(items: Iterable[Submittable], options: Options) -> Iterable[Submittable]:
    if "idempotency_key" in options:
        raise TypeError("idempotency_key is for one submission: many cannot share it")
    return items


async def gather_bounded(
    work: Callable[[Submittable], Awaitable[T]], items: Iterable[Submittable], concurrency: int
) -> builtins.list[T | ClientError]:
    """What came of each, in order, or its `ClientError`; any other exception stops them all."""
    if concurrency < 1:
        raise ValueError("concurrency: at least 1")
    found: dict[int, T | ClientError] = {}
    numbered = enumerate(items)

    async def take() -> None:
        for place, item in numbered:
            try:
                found[place] = await work(item)
            except ClientError as error:
                found[place] = error

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(take())
    return [found[place] for place in sorted(found)]
