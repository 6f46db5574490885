"""Tables of what was measured: for the terminal, and for docs/streaming.md."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Values = dict[str, Any]
Row = tuple[str, str, str, str]

QUIET = 2.0
"""The load average, before a measurement, above which the machine was not ours alone."""

HEAD = ("what", "wanted", "Stepline", "sse-starlette")


def machine() -> Values:
    """Where it was measured, and with what."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    packages = ("fastapi", "uvicorn", "uvloop", "httptools", "redis", "sse-starlette")
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def rows(results: Values) -> list[Row]:
    """One line a figure, in the order of the questions."""
    found: list[Row] = []

    def add(name: str, what: str, wanted: str, tell: Any) -> None:
        sides = results.get(name)
        if sides is not None:
            found.append(
                (what, wanted, _cell(sides, "stepline", tell), _cell(sides, "plain", tell))
            )

    viewers = results.get("idle", {}).get("stepline", {}).get("viewers", 10_000)
    add("idle", f"{viewers:,} idle viewers: held", "all", lambda v: f"{v['held']:,}")
    add("idle", "memory of the server for each", "≤ 40 KB", lambda v: f"{v['kb_per_viewer']} KB")
    add("idle", "memory of Redis for each", "", lambda v: f"{v['redis_kb_per_viewer']} KB")
    add("idle", "CPU for their heartbeats", "", lambda v: f"{v['cpu_percent']} %")
    for name, shape in (
        ("one task", "all on one task"),
        ("ten tasks", "on 10 tasks"),
        ("hundred tasks", "on 100 tasks"),
    ):
        add(name, f"1,000 viewers × 10 events/s, {shape}", "p99 < 50 ms", _latency)
    add("ten tasks", "CPU of the server for each delivery", "", _cpu)
    add("ceiling", "most deliveries/s at p99 < 100 ms, 10 tasks", "20,000", _ceiling)
    add("ceiling of one task", "the same, all on one task", "20,000", _ceiling)
    add("stalled", "p99 without stalled readers", "", lambda v: f"{v['without']['p99_ms']} ms")
    add("stalled", "p99 beside 100 stalled readers", "the same", lambda v: _latency(v["with"]))
    add("stalled", "stalled readers still held after 50 s", "0", lambda v: str(v["streams_left"]))
    add("stalled", "memory that they took", "", lambda v: f"{v['memory_kb'] / 1024:.0f} MB")
    add("restart", "restart under 2,000 viewers: back", "all", lambda v: f"{v['back']:,}")
    add("restart", "all of them back after", "", lambda v: f"{v['all_back_seconds']} s")
    add("restart", "events that somebody missed", "0", lambda v: f"{v['gaps']} gaps")
    add("restart", "events that somebody got twice", "0", lambda v: str(v["repeats"]))
    add("restart", "answers", "only 200", lambda v: _statuses(v["statuses"]))
    return found


def _cell(sides: Values, key: str, tell: Any) -> str:
    values = sides.get(key)
    if values is None:
        return "not measured"
    return "fell over" if "error" in values else str(tell(values))


def _latency(values: Values) -> str:
    lost = values["expected"] - values["delivered"]
    missing = f", {lost:,} of {values['expected']:,} missing" if lost > 0 else ""
    return (
        f"p50 {values['p50_ms']} ms, p99 {values['p99_ms']} ms, "
        f"CPU {values['cpu_percent']:.0f} %{missing}{_busy(values)}"
    )


def _busy(values: Values) -> str:
    """A machine on which others worked meanwhile is told: its latencies are theirs too."""
    load = values.get("load_before", 0.0)
    return f" (on a busy machine: load {load})" if load > QUIET else ""


def _cpu(values: Values) -> str:
    if not values["deliveries_per_second"]:
        return "nothing was delivered"
    return f"{values['cpu_percent'] * 1e4 / values['deliveries_per_second']:.0f} µs"


def _ceiling(values: Values) -> str:
    return f"{values['ceiling']:,}" if values["ceiling"] else "under 10,000"


def _statuses(counted: Values) -> str:
    return ", ".join(f"{count:,} × {status}" for status, count in sorted(counted.items())) or "none"


def show(console: Console, results: Values) -> None:
    table = Table(*HEAD, title="Event streams")
    for row in rows(results):
        table.add_row(*row)
    console.print(table)


def page(results: Values) -> str:
    about = results.get("machine", {})
    versions = ", ".join(f"{name} {found}" for name, found in about.get("versions", {}).items())
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows(results)]
    return TEXT.format(
        table="\n".join(lines),
        steps=_steps(results),
        day=about.get("day"),
        cpu=about.get("cpu"),
        cores=about.get("cores"),
        python=about.get("python"),
        redis=results.get("services", {}).get("redis"),
        versions=versions,
    )


def _steps(results: Values) -> str:
    lines = ["| offered | Stepline | sse-starlette |", "|---|---|---|"]
    sides = results.get("ceiling", {})
    by_rate: dict[float, Values] = {}
    for key, values in sides.items():
        for step in values.get("steps", ()):
            by_rate.setdefault(step["rate"], {})[key] = step
    for rate, steps in sorted(by_rate.items()):
        cells = [_step(steps.get(key)) for key in ("stepline", "plain")]
        lines.append(f"| {rate * 1000:,.0f}/s | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _step(values: Values | None) -> str:
    if values is None:
        return ""
    return f"{values['deliveries_per_second']:,}/s: {_latency(values)}"


TEXT = """\
# Event streams: how many viewers, and how fast

This page is written by `./task bench:sse`, from what it has just measured. The crowd of viewers
runs on the same machine: raw sockets on one event loop, which parse what they get and compare its
numbers. Events are written as workers write them. Latency is from just before an event is written
to Redis until the viewer has it.

Beside it the obvious way, `benchmarks/sse/plain.py`: FastAPI with sse-starlette, and a Redis
pub/sub connection for each viewer. It keeps nothing, so there is nothing to replay.

{table}

What was offered and what came of it, 1,000 viewers on 10 tasks:

{steps}

Measured on {day}: {cpu}, {cores} cores, the crowd, the writer and Redis {redis} included; Python
{python}, {versions}.

## Why it is so

- An event is turned into bytes once, HTTP chunk included (`infra/sse.py`). Each viewer costs one
  `write` of those same bytes to its socket (`api/wire.py`): no task wakes up, no timer is set, and
  no middleware is passed through.
- All viewers of a process share one connection to Redis and one subscription a task
  (`infra/state/hub.py`), and one timer for all heartbeats (`api/heartbeat.py`).
- A viewer that has caught up is one sleeping task (`api/viewer.py`). It has no queue: a reader that
  does not keep up is written nothing more, and reads what it has missed from Redis once it has
  taken what it was sent. One that takes next to nothing for two heartbeats is cut.
- A task's event names its predecessor. A viewer that finds another than the last it was sent reads
  the kept events again, so nothing is lost when a connection to Redis breaks.
- What limits it is one system call for each delivery, on both sides. More API processes share the
  viewers: they have nothing in common but Redis.
"""
