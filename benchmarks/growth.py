"""How Stepline's cost grows: with the rows that history has already, and with its workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.contenders import Contender
from benchmarks.deployment import Deployment, deployed
from benchmarks.measure import measure
from benchmarks.scenarios import GROWTH, QUICK_ROWS, ROWS, WORKERS
from benchmarks.stand import Stand
from benchmarks.stats import percentile
from benchmarks.store import Sample

CHUNK = 50_000
"""Rows a statement."""
DAYS = 30
"""How far back the made rows go."""
PAGES = {
    "newest": "/tasks/?limit=50",
    "status": "/tasks/?status=FAILURE&limit=50",
    "text": "/tasks/?text=nightly&limit=50",
    "active": "/tasks/active",
}
PAGE_READS = 20

Missing = set[tuple[str, int]]
"""(variant, round)"""


def variants(*, quick: bool) -> tuple[str, ...]:
    rows = QUICK_ROWS if quick else ROWS
    return (*[f"rows={count}" for count in rows], *[f"workers={count}" for count in WORKERS])


def measure_growth(
    contender: Contender,
    stand: Stand,
    folder: Path,
    missing: Missing,
    count: int,
    *,
    keep: Callable[[Sample], None],
    before: Callable[[str], None],
) -> None:
    """By rows in one database that is filled up between; by workers in a fresh one each."""
    setup = contender.setup_for(GROWTH)
    by_rows = sorted(int(v.partition("=")[2]) for v, _ in missing if v.startswith("rows="))
    if by_rows:
        before("starting")
        with deployed(contender, setup, stand, folder) as deployment:
            for rows in dict.fromkeys(by_rows):
                before(f"making {rows:,} rows")
                fill(deployment.place.mysql_port, deployment.place.database, rows)
                _rounds(deployment, f"rows={rows}", missing, count, keep, before)
    by_workers = sorted(int(v.partition("=")[2]) for v, _ in missing if v.startswith("workers="))
    for workers in dict.fromkeys(by_workers):
        before(f"{workers} workers")
        with deployed(contender, setup, stand, folder, workers=workers) as deployment:
            _rounds(deployment, f"workers={workers}", missing, count, keep, before)


def _rounds(
    deployment: Deployment,
    variant: str,
    missing: Missing,
    count: int,
    keep: Callable[[Sample], None],
    before: Callable[[str], None],
) -> None:
    for number in sorted(number for name, number in missing if name == variant):
        before(f"{variant}, round {number}")
        sample = measure(deployment, GROWTH, count, number, variant)
        keep(replace(sample, values=sample.values | _pages(deployment)))


def _pages(deployment: Deployment) -> dict[str, float]:
    answer = deployment.ask("pages", paths=list(PAGES.values()), count=PAGE_READS)
    return {f"page_{name}": round(percentile(answer[path], 0.5), 3) for name, path in PAGES.items()}


def fill(port: int, database: str, rows: int) -> None:
    """Bring both tables up to so many rows: copies of an ended task, older, in order of their ids,
    one in twenty failed, one in a hundred named."""
    connection: Any = pymysql.connect(
        host="127.0.0.1", port=port, user="root", database=database, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM tasks")
        have = int(cursor.fetchone()[0])
        cursor.execute("SELECT id FROM tasks WHERE unfinished IS NULL LIMIT 1")
        (template,) = cursor.fetchone()
        columns = {table: _columns(cursor, database, table) for table in ("tasks", "attempts")}
        oldest = int(1000 * (time.time() - DAYS * 86_400))
        while have < rows:
            more = min(CHUNK, rows - have)
            for table, names in columns.items():
                key = "id" if table == "tasks" else "task_id"
                cursor.execute(_insert(table, names, key), (oldest + have, more, template))
            have += more
        cursor.execute("ANALYZE TABLE tasks, attempts")


MOMENT = "FROM_UNIXTIME(m.ms / 1000)"
MADE = {
    "id": "m.made",
    "task_id": "m.made",
    "status": "IF(MOD(m.n, 20) = 0, 'FAILURE', t.status)",
    "name": "IF(MOD(m.n, 100) = 0, CONCAT('nightly ', m.n), t.name)",
    **dict.fromkeys(("created_at", "updated_at", "started_at", "finished_at"), MOMENT),
}
"""Columns that are not copied."""


def _insert(table: str, names: list[str], key: str) -> str:
    """INSERT … SELECT over a sequence. Parameters: first millisecond, rows, the template's id."""
    chosen = ", ".join(MADE.get(name, f"t.`{name}`") for name in names)
    listed = ", ".join(f"`{name}`" for name in names)
    digits = "LPAD(LOWER(HEX(n.ms)), 12, '0')"
    made = (
        f"CONCAT(LEFT({digits}, 8), '-', RIGHT({digits}, 4), "
        "'-7000-8000-', LPAD(LOWER(HEX(n.n)), 12, '0'))"
    )
    return (
        f"INSERT INTO {table} ({listed}) SELECT {chosen} FROM "
        f"(SELECT n.n, n.ms, {made} AS made FROM "
        f"(SELECT seq AS n, %s + seq AS ms FROM seq_1_to_{CHUNK} WHERE seq <= %s) n) m "
        f"JOIN (SELECT * FROM {table} WHERE {key} = %s LIMIT 1) t"
    )


def _columns(cursor: Any, database: str, table: str) -> list[str]:
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s "
        "AND table_name = %s ORDER BY ordinal_position",
        (database, table),
    )
    return [str(row[0]) for row in cursor.fetchall()]
