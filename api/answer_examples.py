"""What the answers of operations look like: an example each, most recorded from a running service.

What comes in has its examples at its models, in the SDK.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ANSWERS: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text())
"""By method and path: the body of a successful answer."""

PARAMETERS = {"name": "customers.csv", "user_id": 4711}
"""Of operations whose answer is a file or nothing."""


def add_examples(operation: dict[str, Any], method: str, path: str) -> None:
    """Show the answer of this operation in its description."""
    answer = ANSWERS.get(f"{method.upper()} {path}")
    if answer is None:
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path" and parameter["name"] in PARAMETERS:
                parameter["example"] = PARAMETERS[parameter["name"]]
        return
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            for content in response.get("content", {}).values():
                content.setdefault("example", answer)
