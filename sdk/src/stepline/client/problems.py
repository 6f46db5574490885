"""The server's problems as exceptions: every code has its class, and a status stands in for a code
that this version does not know."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
from pydantic import ValidationError

from stepline.contract import Problem
from stepline.contract import ProblemCode as Code
from stepline.errors import (
    APIError,
    BadRequest,
    Conflict,
    NotFound,
    ServerError,
    Unauthorized,
    Unavailable,
)

BY_CODE: dict[Code, type[APIError]] = {
    Code.BAD_REQUEST: BadRequest,
    Code.BAD_HOST: BadRequest,
    Code.BAD_IDEMPOTENCY_KEY: BadRequest,
    Code.MALFORMED_JSON: BadRequest,
    Code.INVALID_REQUEST: BadRequest,
    Code.INVALID_PAYLOAD: BadRequest,
    Code.UNKNOWN_STEP: BadRequest,
    Code.IDEMPOTENCY_KEY_REUSED: BadRequest,
    Code.BODY_TOO_LARGE: BadRequest,
    Code.NOT_ACCEPTABLE: BadRequest,
    Code.UNSUPPORTED_MEDIA_TYPE: BadRequest,
    Code.RANGE_NOT_SATISFIABLE: BadRequest,
    Code.METHOD_NOT_ALLOWED: BadRequest,
    Code.UNAUTHORIZED: Unauthorized,
    Code.FORBIDDEN: Unauthorized,
    Code.NOT_FOUND: NotFound,
    Code.UNKNOWN_TASK_TYPE: NotFound,
    Code.CONFLICT: Conflict,
    Code.IDEMPOTENCY_CONFLICT: Conflict,
    Code.ALREADY_ENDED: Conflict,
    Code.NOT_ENDED: Conflict,
    Code.ALREADY_RESOLVED: Conflict,
    Code.ALREADY_OPEN: Conflict,
    Code.NOT_SCHEDULED: Conflict,
    Code.NOT_REPLAYABLE: Conflict,
    Code.CHECKPOINT_MISSING: Conflict,
    Code.UNKNOWN_NAME: Conflict,
    Code.TOO_MANY_REQUESTS: Unavailable,
    Code.UNAVAILABLE: Unavailable,
    Code.PUBLISH_UNCONFIRMED: Unavailable,
    Code.BROKER_ERROR: Unavailable,
    Code.BROKER_UNAVAILABLE: Unavailable,
    Code.TOPOLOGY_MISMATCH: Unavailable,
    Code.UNROUTABLE: Unavailable,
    Code.UNKNOWN_QUEUE: Unavailable,
    Code.STALE_DELIVERY: Unavailable,
    Code.STATE_UNAVAILABLE: Unavailable,
    Code.DATABASE_UNAVAILABLE: Unavailable,
    Code.EXPORTS_UNAVAILABLE: Unavailable,
    Code.ERROR: APIError,
    Code.INTERNAL: ServerError,
}

BY_STATUS: dict[int, type[APIError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    502: Unavailable,  # a gateway's, on the way
    503: Unavailable,
    504: Unavailable,
}


def error_of(response: httpx2.Response) -> APIError:
    """The exception for an error answer, whose body has been read. One that is no problem+json
    gets the code `http_error`."""
    problem = _problem(response)
    if problem is not None:
        return error_from(problem, response.status_code, retry_after(response))
    status = response.status_code
    return _kind_of(status)(
        response.text[:500] or f"HTTP {status}",
        status=status,
        code="http_error",
        retry_after=retry_after(response),
    )


def error_from(problem: Problem, status: int, again_in: float | None = None) -> APIError:
    """The exception for a problem."""
    code, kind = problem.type.rpartition("/")[2], _kind_of(status)
    if code in BY_CODE and BY_CODE[Code(code)] is not APIError:
        kind = BY_CODE[Code(code)]
    return kind(
        problem.detail or f"HTTP {status}",
        status=status,
        code=code,
        errors=[item.model_dump() for item in problem.errors],
        retry_after=again_in,
    )


def _kind_of(status: int) -> type[APIError]:
    return BY_STATUS.get(status, BadRequest if status < 500 else ServerError)


def _problem(response: httpx2.Response) -> Problem | None:
    if "problem+json" not in response.headers.get("content-type", ""):
        return None
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def retry_after(response: httpx2.Response) -> float | None:
    """Seconds, from either form of the header."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
