"""Many submissions in one request: each is judged, submitted and answered by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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


class ManySubmissions:
    """Takes many on, a bounded number at a time."""

    def __init__(self, taking: Taking, registry: Registry) -> None:
        self._taking = taking
        self._registry = registry

    async def submit(self, items: Iterable[Any]) -> list[dict[str, Any]]:
        """An answer for each (a `SubmissionAnswer`), in their order."""
        places = asyncio.Semaphore(IN_HAND)
        under_way: list[asyncio.Task[dict[str, Any]]] = []
        try:
            for item in items:
                await places.acquire()
                task = asyncio.create_task(self._answer(item))
                task.add_done_callback(lambda _: places.release())
                under_way.append(task)
            return await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()

    async def _answer(self, item: Any) -> dict[str, Any]:
        try:
            envelope, replayed = await self._submit(item)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            return {"problem": problem_view(problem)}
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

    async def _submit(self, raw: Any) -> tuple[Envelope, bool]:
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
        return await self._taking.take(key, self._taking.submitter.draft(name, payload))


def _invalid(error: ValidationError, *place: str) -> RequestValidationError:
    """As FastAPI says it of a body, so that it reads the same."""
    return RequestValidationError(
        [
            {**item, "loc": ("body", *place, *item["loc"])}
            for item in error.errors(include_url=False, include_input=False)
        ]
    )
