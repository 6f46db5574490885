"""Every error answer: RFC 9457 problem+json with a stable `type`, rendered in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from stepline.contract import FieldProblem, Problem

from handlers.registry import UnknownName
from infra.actions.base import ActionRefused, NothingThere
from infra.broker.base import BrokerError, PublishUnconfirmed
from infra.codec import dumps
from infra.history.base import HistoryUnavailable
from infra.state.redis import StateUnavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 1
MAX_FIELD_PROBLEMS = 100

log = structlog.get_logger(__name__)


class ProblemError(Exception):
    """Raise this to answer with a problem."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


def not_found(what: str, name: object) -> ProblemError:
    return ProblemError(404, "not_found", f"There is no {what} {name}.")


def unavailable(code: str, detail: str) -> ProblemError:
    """Not now; nothing was accepted for certain. The client may try again."""
    return ProblemError(503, code, detail, headers={"Retry-After": str(RETRY_AFTER)})


def problem_type(code: str) -> str:
    return f"/problems/{code}"


def problem_view(error: ProblemError, instance: str | None = None) -> dict[str, Any]:
    """As it goes over the wire."""
    problem = Problem(
        type=problem_type(error.code),
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.detail,
        instance=instance,
        errors=error.errors,
    )
    return problem.model_dump(mode="json", exclude_none=True)


def render(request: Request, error: ProblemError) -> Response:
    body = problem_view(error, request.url.path)
    return Response(
        dumps(body), status_code=error.status, media_type=MEDIA_TYPE, headers=error.headers
    )


CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "body_too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "invalid_request",
    429: "too_many_requests",
    503: "unavailable",
}


def field_path(location: Sequence[Any]) -> str:
    """`body.data.payload` as people write it: without where it came from, list places in []."""
    path = ""
    for part in location[1:]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or str(location[0] if location else "")


def from_validation(error: RequestValidationError) -> ProblemError:
    items = error.errors()
    if any(item["type"] == "json_invalid" for item in items):
        return ProblemError(
            400, "malformed_json", f"The body is not JSON: {items[0].get('ctx', {}).get('error')}"
        )
    problems = [
        FieldProblem(
            field=field_path(item["loc"]),
            message=str(item["msg"]).removeprefix("Value error, "),
            code=str(item["type"]),
        )
        for item in items[:MAX_FIELD_PROBLEMS]
    ]
    first = problems[0]
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    return ProblemError(
        422, "invalid_request", f"{first.field}: {first.message}{more}", errors=problems
    )


def from_http(error: HTTPException) -> ProblemError:
    code = CODES.get(error.status_code, "error")
    return ProblemError(
        error.status_code, code, str(error.detail), headers=dict(error.headers or {})
    )


INPUT_CODES = ("unknown_step", "invalid_payload")
"""Refusals that blame the request; the others blame the state of the thing (409)."""


def from_refusal(error: ActionRefused) -> ProblemError:
    problems = [
        FieldProblem(
            field=field_path(("body", "payload", *item["loc"])),
            message=str(item["msg"]).removeprefix("Value error, "),
            code=str(item["type"]),
        )
        for item in error.errors[:MAX_FIELD_PROBLEMS]
    ]
    status = 422 if error.code in INPUT_CODES else 409
    return ProblemError(status, error.code, error.message, errors=problems)


def from_unavailable(error: Exception) -> ProblemError:
    """A part of the service is away."""
    log.warning("unavailable", error=str(error))
    if isinstance(error, PublishUnconfirmed):
        return unavailable(
            "publish_unconfirmed",
            "The broker did not confirm in time: whether the task was accepted is unknown. Repeat "
            "the request with the same Idempotency-Key.",
        )
    if isinstance(error, BrokerError):
        return unavailable(error.code, "The broker does not take messages now. Try again.")
    if isinstance(error, StateUnavailable):
        return unavailable(error.code, "Redis does not answer now. Try again.")
    return unavailable("database_unavailable", "The database does not answer now. Try again.")


def _as_it_is(error: ProblemError) -> ProblemError:
    return error


CONVERSIONS: dict[type[Exception], Callable[[Any], ProblemError]] = {
    ProblemError: _as_it_is,
    RequestValidationError: from_validation,
    HTTPException: from_http,
    NothingThere: lambda error: not_found(error.what, error.name),
    ActionRefused: from_refusal,
    UnknownName: lambda error: ProblemError(409, error.code, error.message),
    BrokerError: from_unavailable,
    StateUnavailable: from_unavailable,
    HistoryUnavailable: from_unavailable,
}


def problem_of(error: Exception) -> ProblemError | None:
    """What is told of an error; None of one that nobody has foreseen."""
    for kind, convert in CONVERSIONS.items():
        if isinstance(error, kind):
            return convert(error)
    return None


def install(app: FastAPI) -> None:
    """Render every failure of `app` as a problem."""

    async def problem(request: Request, error: Exception) -> Response:
        if (known := problem_of(error)) is not None:
            return render(request, known)
        log.error("request_failed", path=request.url.path, exc_info=error)
        failure = ProblemError(500, "internal", "Something broke here; it has been logged.")
        return render(request, failure)

    for kind in (*CONVERSIONS, Exception):
        app.add_exception_handler(kind, problem)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that an operation can give, for its OpenAPI description."""
    return {
        status: {
            "model": Problem,
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
