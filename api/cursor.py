"""Cursors: opaque to clients, the id to go on after to us."""

from __future__ import annotations

import base64
import binascii
import re

from stepline.contract import FieldProblem

from api.errors import ProblemError

VERSION = b"1:"
ROW_ID = re.compile(r"[0-9a-f-]{36}")


def write_cursor(task_id: str) -> str:
    return base64.urlsafe_b64encode(VERSION + task_id.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The id. Raises a 422 problem for anything but a cursor of ours."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        task_id = raw.removeprefix(VERSION).decode("ascii")
    except (UnicodeError, binascii.Error, ValueError):
        task_id = ""
    if not ROW_ID.fullmatch(task_id):
        problem = FieldProblem(
            field="cursor", message="not a cursor of this list", code="bad_cursor"
        )
        raise ProblemError(422, "invalid_request", "cursor: not one of ours", errors=[problem])
    return task_id
