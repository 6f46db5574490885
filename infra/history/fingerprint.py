"""What failures have in common: one cause, whatever numbers, ids and names stand in their texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

PLACEHOLDERS = (
    (re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|“[^”]*”"), "<text>"),
    (
        re.compile(
            r"\b0x[0-9a-f]+\b|\b(?=[0-9a-f-]*\d)[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b", re.IGNORECASE
        ),
        "<id>",
    ),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)
LENGTH = 500


def normalised(message: str) -> str:
    """The message without what differs from one failure to the next."""
    for pattern, placeholder in PLACEHOLDERS:
        message = pattern.sub(placeholder, message)
    return message[:LENGTH]


def fingerprint(task_type: str, error: Mapping[str, Any]) -> str:
    """16 hexadecimal digits, the same for failures of one cause."""
    parts = (
        task_type,
        str(error.get("code")),
        str(error.get("handler")),
        normalised(str(error.get("message"))),
    )
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:16]
