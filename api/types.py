"""Names of task types, as clients give them."""

from __future__ import annotations

import difflib

from api.errors import ProblemError
from handlers.registry import Registry


def unknown_type(registry: Registry, name: str) -> ProblemError:
    """There is no such type, but perhaps one like it."""
    names = [item.name for item in registry.types]
    near = difflib.get_close_matches(name.replace("-", "_"), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else " GET /task-types has all."
    return ProblemError(404, "unknown_task_type", f"There is no task type {name!r} here.{hint}")
