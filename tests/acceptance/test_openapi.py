"""The whole OpenAPI, under fire: no input whatsoever gets a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.acceptance.conftest import Deployment, running

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)

ENDLESS = {"/tasks/{task_id}/events", "/events"}
"""Answers that do not end by themselves for a task that does not."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment for this file alone: what is fired here also deletes the users of others.

    Input is judged before it matters what is behind: embedded is enough.
    """
    yield from running("embedded", tmp_path_factory.mktemp("fired"), {}, ("api.embedded",))


@pytest.fixture
def schema(target: Deployment) -> Any:
    return schemathesis.openapi.from_url(f"{target.url}/openapi.json")


def test_every_operation_is_described(schema: Any) -> None:
    raw = schema.raw_schema
    for path, operations in raw["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            assert operation.get("description"), f"{where} says nothing of itself"
            assert operation.get("tags"), f"{where} has no tag"


@pytest.mark.timeout(300)
def test_no_input_breaks_the_service(schema: Any) -> None:
    """Each operation gets what its schema allows, and what it does not."""
    failures, fired = [], set()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in ENDLESS:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                fire_at(operation, mode)
                fired.add(operation.label)
            except Unsatisfiable:
                continue  # nothing that this operation takes could be wrong
            except Exception as failure:
                failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join(failures)
    assert {"POST /tasks/quick", "POST /chain/process", "GET /tasks/"} <= fired


def fire_at(operation: Any, mode: GenerationMode) -> None:
    @settings(
        max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def fire(case: Any) -> None:
        headers = {**(case.headers or {}), "Prefer": "respond-async", "Accept": "*/*"}
        case.headers = headers
        response = case.call(timeout=20)
        case.validate_response(response, checks=CHECKS)

    fire()
