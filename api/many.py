"""Many submissions in one request: each is judged, submitted and answered by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from fastapi.exceptions import HTTPException, RequestValidationError
from pydantic import ValidationError
from stepline.contract import Status, SubmissionItem

from api.body import MAX_DEPTH, nests_deeper_than, refuse_large_integers
from api.errors import ProblemError, from_http, problem_of, problem_view
from api.idempotency import parse_key
from api.taking import Taking
from api.types import unknown_type
from handlers.registry import Registry
from infra.codec import JSONDecodeError, loads
from infra.envelope import Envelope

MOST = 10_000
IN_HAND = 1_024
"""Items that are submitted at once: enough for the broker to confirm many messages together."""

TURN = 32
"""Items that are read without letting others have the event loop. Of all requests one has its turn
at a time: between two turns what they have submitted goes on its way to Redis and the broker.
"""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In the place of an item: what is wrong with its line."""

    problem: ProblemError


def read_array(body: bytes) -> list[Any]:
    """The items of a JSON array. Raises a problem."""
    try:
        items = loads(body)
    except JSONDecodeError as error:
        raise ProblemError(400, "malformed_json", f"The body is not JSON: {error}") from error
    if not isinstance(items, list):
        raise ProblemError(422, "invalid_request", "The body is to be an array of submissions.")
    refuse_large_integers(body)
    return items


def read_lines(body: bytes) -> Iterator[Any]:
    """The items of NDJSON, one a line; empty lines are none."""
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            item = loads(line)
            refuse_large_integers(line)
        except JSONDecodeError:
            yield Unreadable(ProblemError(400, "malformed_json", "This line is not JSON."))
        except HTTPException as error:
            yield Unreadable(from_http(error))
        else:
            yield item


@dataclass(slots=True)
class _UnderWay:
    """A submission that has begun: where its answer belongs, and what to wait for. Only one with a
    key may turn out to be another task, submitted before."""

    place: int
    envelope: Envelope
    future: asyncio.Future[None] | asyncio.Task[tuple[Envelope, bool]]


class ManySubmissions:
    """Takes many on, a bounded number at a time."""

    def __init__(self, taking: Taking, registry: Registry) -> None:
        self._taking = taking
        self._registry = registry
        self._turns = asyncio.Lock()

    async def submit(self, items: Iterable[Any]) -> list[dict[str, Any]]:
        """An answer for each (a `SubmissionAnswer`), in their order."""
        answers: list[dict[str, Any]] = []
        under_way: deque[_UnderWay] = deque()
        left = enumerate(items)
        more = True
        try:
            while more:
                async with self._turns:
                    more = self._begin_some(islice(left, TURN), answers, under_way)
                    await asyncio.sleep(0)
                while len(under_way) >= IN_HAND:
                    await self._finish(under_way.popleft(), answers)
            while under_way:
                await self._finish(under_way.popleft(), answers)
        finally:
            for one in under_way:
                one.future.cancel()
        return answers

    def _begin_some(
        self,
        items: Iterable[tuple[int, Any]],
        answers: list[dict[str, Any]],
        under_way: deque[_UnderWay],
    ) -> bool:
        """A turn of them; whether there may be more."""
        before = len(answers)
        for place, item in items:
            answers.append({})
            try:
                under_way.append(self._begin(place, item))
            except Exception as error:
                answers[place] = _refusal(error)
        return len(answers) - before == TURN

    async def _finish(self, begun: _UnderWay, answers: list[dict[str, Any]]) -> None:
        try:
            if isinstance(begun.future, asyncio.Task):
                envelope, replayed = await begun.future
            else:
                envelope, replayed = begun.envelope, False
                await self._taking.taken(envelope, begun.future)
        except Exception as error:
            answers[begun.place] = _refusal(error)
        else:
            answers[begun.place] = _answer(envelope, replayed=replayed)

    def _begin(self, place: int, raw: Any) -> _UnderWay:
        """Raises what is wrong with it."""
        envelope, key = self._read(raw)
        if key is None:
            return _UnderWay(place, envelope, self._taking.submitter.begin(envelope))
        return _UnderWay(place, envelope, asyncio.create_task(self._taking.take(key, envelope)))

    def _read(self, raw: Any) -> tuple[Envelope, str | None]:
        if isinstance(raw, Unreadable):
            raise raw.problem
        if nests_deeper_than(MAX_DEPTH, raw):
            raise ProblemError(400, "bad_request", f"It nests deeper than {MAX_DEPTH} levels.")
        try:
            item = SubmissionItem.model_validate(raw)
        except ValidationError as error:
            raise _invalid(error) from error
        name = item.type.replace("-", "_")
        if name not in self._registry:
            raise unknown_type(self._registry, item.type)
        try:
            payload = self._registry.submission(name).model_validate(item.payload)
        except ValidationError as error:
            raise _invalid(error, "payload") from error
        key = parse_key([] if item.idempotency_key is None else [item.idempotency_key])
        return self._taking.submitter.draft(name, payload), key


def _refusal(error: Exception) -> dict[str, Any]:
    """What went wrong with one submission is its answer; raises what is a mistake of ours."""
    problem = problem_of(error)
    if problem is None:
        raise error
    return {"problem": problem_view(problem)}


def _answer(envelope: Envelope, *, replayed: bool) -> dict[str, Any]:
    (task,) = envelope.tasks
    answer: dict[str, Any] = {
        "task_id": task.id,
        "type": task.type,
        "status": Status.SCHEDULED if task.run_at else Status.PENDING,
        "queue": envelope.queue,
    }
    if task.run_at:
        answer["run_at"] = datetime.fromtimestamp(task.run_at, UTC)
    if replayed:
        answer["replayed"] = True
    return answer


def _invalid(error: ValidationError, *place: str) -> RequestValidationError:
    """As FastAPI says it of a body, so that it reads the same."""
    return RequestValidationError(
        [
            {**item, "loc": ("body", *place, *item["loc"])}
            for item in error.errors(include_url=False, include_input=False)
        ]
    )
