"""`python -m infra.env_example`: `.env.example`, made from the settings themselves."""

from __future__ import annotations

import textwrap
from typing import Any

from pydantic_core import PydanticUndefined

from infra.settings import Settings

HEAD = """\
# Every setting of Stepline, with its default. Made by `python -m infra.env_example > .env.example`.
# Export what you change; nothing reads this file by itself but compose (as `.env`).
"""


def render() -> str:
    """The file's whole text."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        description = textwrap.fill(field.description or "", 96)
        parts.append(textwrap.indent(description, "# "))
        default = shown(field.get_default(call_default_factory=True))
        parts.append(f"#STEPLINE_{name.upper()}={default}\n")
    return "\n".join(parts)


def shown(default: Any) -> str:
    if default is PydanticUndefined or default in ("", (), {}, None):
        return ""
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default)


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201
