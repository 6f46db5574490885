"""Every problem that the API can answer with has its place in the SDK's tree of errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import stepline
from stepline import errors
from stepline.client.problems import BY_CODE, error_of, retry_after
from stepline.contract import ProblemCode

from api.errors import CODES, INPUT_CODES
from handlers.registry import UnknownName
from infra.actions.base import ActionRefused, NothingThere
from infra.broker.base import BrokerError
from infra.exports import ExportsUnavailable
from infra.state.redis import StateUnavailable

ROOT = Path(__file__).parents[2]
RAISED = {"ProblemError": 1, "unavailable": 0, "ActionRefused": 0}
"""What makes a problem, and which of its arguments is the code."""

CARRIED = (BrokerError, StateUnavailable, UnknownName, NothingThere, ExportsUnavailable)
"""What is turned into a problem with its own code, subclasses too."""


def calls(folder: str) -> Iterator[tuple[str, ast.expr]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                place = RAISED.get(node.func.id)
                if place is not None and len(node.args) > place:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.args[place]


def literal_codes() -> set[str]:
    found = set()
    for folder in ("api", "infra"):
        for _, argument in calls(folder):
            if isinstance(argument, ast.Constant):
                found.add(argument.value)
    return found


def subclasses(kind: type) -> Iterator[type]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


def every_code() -> set[str]:
    carried = {item.code for kind in CARRIED for item in subclasses(kind)}
    return literal_codes() | set(CODES.values()) | set(INPUT_CODES) | carried | {"error"}


def test_every_code_that_the_api_gives_is_known_to_the_sdk() -> None:
    assert len(every_code()) > 30
    assert sorted(every_code() - set(ProblemCode)) == []


def test_the_codes_of_refused_actions_are_known_to_the_sdk() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", ActionRefused.__doc__ or "")) - {"errors"}

    assert documented
    assert documented <= set(ProblemCode)


def test_a_code_that_is_no_literal_comes_from_an_error_that_carries_its_own() -> None:
    dynamic = {
        ast.unparse(argument)
        for folder in ("api", "infra")
        for _, argument in calls(folder)
        if not isinstance(argument, ast.Constant)
    }

    of_a_rendered_problem = "first['type'].rpartition('/')[2]"
    assert dynamic <= {"error.code", "code", of_a_rendered_problem}


def test_every_code_has_its_class_and_every_class_is_drawn_in_the_tree() -> None:
    assert set(BY_CODE) == set(ProblemCode)
    tree = errors.__doc__ or ""
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.SteplineError)
    ]
    assert len(classes) > 10
    for value in classes:
        assert value.__name__ in tree
        assert value.__name__ in {*stepline.__all__, "HandlerError"}


@pytest.mark.parametrize("code", ProblemCode)
def test_a_problem_becomes_the_exception_of_its_code(code: ProblemCode) -> None:
    kind = BY_CODE[code]
    status = {
        errors.BadRequest: 422,
        errors.Unauthorized: 401,
        errors.NotFound: 404,
        errors.Conflict: 409,
        errors.Unavailable: 503,
        errors.ServerError: 500,
        errors.APIError: 418,
    }[kind]

    error = error_of(problem(status, f"/problems/{code}"))

    assert issubclass(type(error), kind)
    assert (error.code, error.status, error.message) == (code, status, "why")
    assert error.errors == [{"field": "a", "message": "b", "code": "c"}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (403, errors.Unauthorized),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (418, errors.BadRequest),
        (429, errors.Unavailable),
        (500, errors.ServerError),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
    ],
)
def test_an_error_that_is_not_steplines_goes_by_its_status(
    status: int, kind: type[errors.APIError]
) -> None:
    error = error_of(httpx2.Response(status, text="<h1>Bad Gateway</h1>"))

    assert type(error) is kind
    assert (error.code, error.message) == ("http_error", "<h1>Bad Gateway</h1>")


def test_a_code_from_a_newer_service_goes_by_its_status() -> None:
    error = error_of(problem(409, "/problems/of_tomorrow"))

    assert type(error) is errors.Conflict
    assert error.code == "of_tomorrow"


def test_retry_after_is_read_in_both_its_forms() -> None:
    assert retry_after(httpx2.Response(503, headers={"Retry-After": "7"})) == 7.0
    past = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(httpx2.Response(503, headers=past)) == 0.0
    assert retry_after(httpx2.Response(503, headers={"Retry-After": "soon"})) is None
    assert retry_after(httpx2.Response(503)) is None


def problem(status: int, kind: str) -> httpx2.Response:
    body = {
        "type": kind,
        "title": "T",
        "status": status,
        "detail": "why",
        "errors": [{"field": "a", "message": "b", "code": "c"}],
    }
    return httpx2.Response(status, json=body, headers={"Content-Type": "application/problem+json"})
