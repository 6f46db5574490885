"""The two upserts that the history stands on, for SQLite and for MySQL."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, case, func
from sqlalchemy.dialects import mysql, sqlite

from infra.history.models import AttemptRow, TaskRow

TASKS = TaskRow.__table__  # type: ignore[attr-defined]
ATTEMPTS = AttemptRow.__table__  # type: ignore[attr-defined]

FILLED = ("name", "payload", "run_at", "deadline", "retry_of", "idempotency_key")
"""Filled once, never erased."""

NEWER_IF_KNOWN = ("finished_at", "worker")
"""As below, but what the newer record leaves None an older one may fill, be it late or early."""

NEWER = ("status", "attempt", "seq", "updated_at", "due_at", "result", "error")
"""Follow the record with the higher version."""


@cache
def task_upsert(dialect: str) -> Any:
    """Insert tasks, or move them forward. MySQL assigns from left to right and reads what it has
    assigned: what decides (`version`, `unfinished`) comes last."""
    if dialect == "mysql":
        statement = mysql.insert(TASKS)
        new: Any = statement.inserted
    else:
        lite = sqlite.insert(TASKS)
        new = lite.excluded
    newer = new.version > TASKS.c.version
    ended = TASKS.c.unfinished.is_(None)
    wins = newer & ~ended
    changes: list[tuple[str, Any]] = [
        (name, func.coalesce(TASKS.c[name], new[name])) for name in FILLED
    ]
    changes.append(("started_at", _least(new.started_at)))
    changes += [
        (
            name,
            _if(
                wins,
                func.coalesce(new[name], TASKS.c[name]),
                func.coalesce(TASKS.c[name], new[name]),
            ),
        )
        for name in NEWER_IF_KNOWN
    ]
    changes += [(name, _if(wins, new[name], TASKS.c[name])) for name in NEWER]
    changes.append(("version", _if(wins, new.version, TASKS.c.version)))
    changes.append(("unfinished", _unfinished(dialect, new, wins)))
    if dialect == "mysql":
        return statement.on_duplicate_key_update(changes)
    return lite.on_conflict_do_update(index_elements=["id"], set_=dict(changes))


def _unfinished(dialect: str, new: Any, wins: Any) -> Any:
    """On MySQL `version` has its new value by now: equal versions mean that the record won (or came
    twice, which changes nothing)."""
    if dialect == "mysql":
        return _if(new.version >= TASKS.c.version, new.unfinished, TASKS.c.unfinished)
    return _if(wins, new.unfinished, TASKS.c.unfinished)


def _least(new: Any) -> Any:
    known = TASKS.c.started_at
    return func.coalesce(_if(new < known, new, known), known, new)


def _if(condition: Any, then: Any, otherwise: Any) -> ColumnElement[Any]:
    return case((condition, then), else_=otherwise)


@cache
def attempt_upsert(dialect: str) -> Any:
    """Insert attempts; of one that is there already the fuller document stays."""
    names = ("worker", "started_at", "finished_at", "events", "outputs", "error", "size")
    if dialect == "mysql":
        statement = mysql.insert(ATTEMPTS)
        new: Any = statement.inserted
        fuller = new.size > ATTEMPTS.c.size
        return statement.on_duplicate_key_update(
            [(name, _if(fuller, new[name], ATTEMPTS.c[name])) for name in names]
        )
    lite = sqlite.insert(ATTEMPTS)
    fuller = lite.excluded.size > ATTEMPTS.c.size
    return lite.on_conflict_do_update(
        index_elements=["task_id", "attempt"],
        set_={name: _if(fuller, lite.excluded[name], ATTEMPTS.c[name]) for name in names},
    )
