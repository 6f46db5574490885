"""What the description of every operation has in common: who may ask, and what any may answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api.answer_examples import add_examples
from api.errors import MEDIA_TYPE, responses
from api.keys import OPEN_PATHS

SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer name.secret`; `./task key -- NAME` makes a key.",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}
METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})


def install(app: FastAPI, *, keys: bool) -> None:
    """Complete the description of `app`; with `keys`, `/docs` can be given one."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            if keys:
                schema["components"]["securitySchemes"] = SCHEMES
            for method, path, operation in _operations(schema):
                add_examples(operation, method, path)
                _complete(operation, keys=keys and path not in OPEN_PATHS)
            for unused in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(unused, None)
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation


def _complete(operation: dict[str, Any], *, keys: bool) -> None:
    """A wrong `Host` is 400 everywhere; a missing key is 401 where keys are asked for, and only
    there. FastAPI's own notes of errors are of a body that is never sent."""
    answers = operation["responses"]
    for answer in answers.values():
        if MEDIA_TYPE in answer.get("content", {}):
            answer["content"] = {MEDIA_TYPE: answer["content"][MEDIA_TYPE]}
    ours = {str(status): _plain(answer) for status, answer in responses(400, 401, 422).items()}
    if MEDIA_TYPE not in answers.get("422", ours["422"])["content"]:
        answers["422"] = ours["422"]
    answers.setdefault("400", ours["400"])
    if keys:
        operation["security"] = [{name: []} for name in SCHEMES]
        answers.setdefault("401", ours["401"])
    else:
        answers.pop("401", None)
    operation["responses"] = dict(sorted(answers.items()))


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    """As it stands in the description, without FastAPI's own note of the model."""
    return {name: value for name, value in answer.items() if name != "model"}
