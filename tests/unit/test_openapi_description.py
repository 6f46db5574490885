"""What `/openapi.json` says of every operation: who may ask, and what any may answer."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from typing import Any

from stepline import contract

from api.answer_examples import ANSWERS
from api.app import create_app
from api.keys import OPEN_PATHS
from handlers.plugins import full_registry
from infra.settings import Settings


def operations(*keys: str) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """By method and path: the operation, and the whole description."""
    opening: Any = AsyncExitStack()  # never entered: the description needs nothing that is open
    app = create_app(Settings(api_keys=keys), full_registry(), opening)
    schema = app.openapi()
    assert app.openapi() is schema
    return {
        f"{method.upper()} {path}": (operation, schema)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    }


def test_where_keys_are_asked_for_the_docs_can_be_given_one() -> None:
    for where, (operation, schema) in operations("ci:" + "0" * 64).items():
        schemes = schema["components"]["securitySchemes"]
        is_open = where.split()[1] in OPEN_PATHS
        assert ("security" in operation) is not is_open, where
        assert ("401" in operation["responses"]) is not is_open, where
        for alternative in operation.get("security", []):
            assert set(alternative) <= set(schemes), where


def test_every_operation_shows_an_example() -> None:
    for where, (operation, schema) in operations().items():
        shown = json.dumps(operation)
        models = re.findall(r"#/components/schemas/(\w+)", shown)
        shown += "".join(json.dumps(schema["components"]["schemas"][name]) for name in models)
        assert '"example' in shown, where


def test_the_answers_shown_are_answers() -> None:
    described = operations()
    assert set(ANSWERS) <= set(described)
    for where, answer in ANSWERS.items():
        responses = described[where][0]["responses"]
        shown = next(answer for status, answer in responses.items() if status.startswith("2"))
        schema = shown["content"].get("application/json", {}).get("schema", {})
        if model := schema.get("$ref", "").rpartition("/")[2]:
            getattr(contract, model).model_validate_json(json.dumps(answer))


def test_where_none_are_asked_for_none_are_named() -> None:
    for where, (operation, schema) in operations().items():
        assert "securitySchemes" not in schema["components"]
        assert "security" not in operation, where
        assert "401" not in operation["responses"], where


def test_every_error_is_described_as_a_problem() -> None:
    for where, (operation, schema) in operations().items():
        assert "Problem" in schema["components"]["schemas"]
        assert "400" in operation["responses"], where
        for status, answer in operation["responses"].items():
            if status >= "400" and where.split()[1] not in ("/health", "/health/ready"):
                (content,) = answer["content"]
                assert content == "application/problem+json", (where, status)


def test_every_body_has_an_example() -> None:
    for where, (operation, schema) in operations().items():
        if "requestBody" not in operation:
            continue
        described = operation["requestBody"]["content"]["application/json"]["schema"]
        parts = [described, *described.get("anyOf", [])]
        models = [
            schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
            for part in parts
            if "$ref" in part
        ]
        assert any(part.get("examples") for part in [*parts, *models]), where
