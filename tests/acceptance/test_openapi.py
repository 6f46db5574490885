"""The whole OpenAPI, under fire: no input whatsoever gets a 5xx."""

from __future__ import annotations

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

from tests.acceptance.conftest import Deployment

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)

ENDLESS = {"/tasks/{task_id}/events", "/events"}
"""Answers that do not end by themselves for a task that does not."""


# input is judged before it matters what is behind: one mode is enough
pytestmark = pytest.mark.parametrize("deployment", ["embedded"], indirect=True, scope="session")


@pytest.fixture
def schema(deployment: Deployment) -> Any:
    return schemathesis.openapi.from_url(f"{deployment.url}/openapi.json")


def test_every_operation_is_described(schema: Any) -> None:
    raw = schema.raw_schema
    for path, operations in raw["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            assert operation.get("description"), f"{where} says nothing of itself"
            assert operation.get("tags"), f"{where} has no tag"


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
        max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def fire(case: Any) -> None:
        headers = {**(case.headers or {}), "Prefer": "respond-async", "Accept": "*/*"}
        case.headers = headers
        response = case.call(timeout=20)
        case.validate_response(response, checks=CHECKS)

    fire()
