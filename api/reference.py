"""`python -m api.reference FOLDER`: the reference pages that the code itself can tell.

`http.md` is the OpenAPI description as one page to read, `settings.md` every setting.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from api.app import TAGS, create_app
from handlers.builtin import TYPES
from handlers.registry import Registry
from infra.env_example import shown
from infra.settings import Settings

HTTP_HEAD = """\
# HTTP

Every request of the service; a running one shows the same at `/docs`, where it can be tried, and as
OpenAPI at `/openapi.json`. Errors are `application/problem+json` (RFC 9457): match on `type`, it is
stable. Where keys are asked, send `Authorization: Bearer NAME.SECRET` or `X-API-Key`.
"""

SETTINGS_HEAD = """\
# Settings

Read from the environment, once, at the start. A wrong one stops the process with a sentence that
says which, and how to mend it.

| setting | default | meaning |
|---|---|---|
"""

METHODS = ("get", "post", "patch", "put", "delete")


def openapi() -> dict[str, Any]:
    """The description of the service with its built-in types; nothing is opened for it."""
    settings = Settings()
    app = create_app(settings, Registry(TYPES), nullcontext())  # type: ignore[arg-type]
    return app.openapi()


def http_page(description: Mapping[str, Any]) -> str:
    """The page on HTTP, from an OpenAPI description."""
    parts = [HTTP_HEAD]
    for tag in TAGS:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        for path, operations in description["paths"].items():
            for method in METHODS:
                operation = operations.get(method)
                if operation and tag["name"] in operation.get("tags", ()):
                    parts.extend(_operation(method, path, operation, description))
    return "\n".join(parts)


def settings_page() -> str:
    """The page on settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = shown(field.get_default(call_default_factory=True))
        meaning = _cell(field.description or "")
        rows.append(
            f"| `STEPLINE_{name.upper()}` | {f'`{default}`' if default else ''} | {meaning} |"
        )
    return SETTINGS_HEAD + "\n".join(rows) + "\n"


def _operation(
    method: str, path: str, operation: Mapping[str, Any], description: Mapping[str, Any]
) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    yield f"{operation.get('description') or operation.get('summary', '')}\n"
    parameters = [item for item in operation.get("parameters", ()) if item["in"] != "header"]
    if parameters:
        yield "| parameter | in | type | |\n|---|---|---|---|"
        for item in parameters:
            kind = _type(item["schema"], description)
            note = _cell(item.get("description", ""))
            yield f"| `{item['name']}` | {item['in']} | {kind} | {note} |"
        yield ""
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, body in content.items():
        yield from _body(media_type, body["schema"], description)
    answers = ", ".join(
        f"{status} {_cell(answer.get('description', ''))}"
        for status, answer in operation["responses"].items()
    )
    yield f"Answers: {answers}.\n"


def _body(
    media_type: str, schema: Mapping[str, Any], description: Mapping[str, Any]
) -> Iterator[str]:
    model = _resolved(schema, description)
    properties = model.get("properties", {})
    if not properties:
        yield f"Body: `{media_type}`, {_type(schema, description)}.\n"
        return
    yield f"Body (`{media_type}`):\n\n| field | type | |\n|---|---|---|"
    required = set(model.get("required", ()))
    for name, item in properties.items():
        note = _cell(item.get("description", ""))
        must = "required. " if name in required else ""
        yield f"| `{name}` | {_type(item, description)} | {must}{note} |"
    yield ""


def _resolved(schema: Mapping[str, Any], description: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Mapping[str, Any] = description["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def _type(schema: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    """A schema in a few words: `integer`, `list of string`, `one of a, b`."""
    schema = _resolved(schema, description)
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        words = [_type(item, description) for item in choices if item.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), description)}"
    return str(schema.get("format") or schema.get("title") if kind == "object" else kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.joinpath("http.md").write_text(http_page(openapi()))
    folder.joinpath("settings.md").write_text(settings_page())


if __name__ == "__main__":
    main()
