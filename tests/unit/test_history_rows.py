"""Rows written out for MySQL: each value as SQL has it, nothing that leaves its quotes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from infra.history.rows import literal, parts_of, written
from infra.history.upsert import attempt_upsert, task_upsert

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        (0, "0"),
        (True, "1"),
        (-(2**60), "-1152921504606846976"),
        ("", "''"),
        ("任务", "'任务'"),
        ("it's", "'it''s'"),
        ("\\", "'\\\\'"),
        ("\\'; DROP TABLE tasks; --", "'\\\\''; DROP TABLE tasks; --'"),
        ("100% %s", "'100% %s'"),
        (NOON, "'2026-01-01T12:00:00.000000'"),
        (NOON.astimezone(timezone(timedelta(hours=8))), "'2026-01-01T12:00:00.000000'"),
    ],
)
def test_a_value_as_sql_has_it(value: Any, text: str) -> None:
    assert literal(value) == text


@pytest.mark.parametrize("upsert", [task_upsert("mysql"), attempt_upsert("mysql")])
def test_a_row_goes_between_the_parts_of_its_statement(upsert: Any) -> None:
    head, columns, tail = parts_of(upsert)

    assert head.startswith("INSERT INTO")
    assert head.endswith(f"({', '.join(columns)}) VALUES ")
    assert tail.startswith(" ON DUPLICATE KEY UPDATE ")
    assert "%" not in head + tail
    assert written(dict.fromkeys(columns), columns) == f"({','.join(['NULL'] * len(columns))})"
