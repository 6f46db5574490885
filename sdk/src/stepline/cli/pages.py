"""What is printed at once: a task, a list of them, the service's health."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stepline.cli.boards import printable
from stepline.cli.fields import COMMON
from stepline.contract import Health, Status, Step, TaskStatus, TaskSummary, TaskTypeInfo

COLOURS = {
    Status.SUCCESS: "green",
    Status.FAILURE: "red",
    Status.CANCELLED: "yellow",
    Status.RETRYING: "yellow",
    Status.RUNNING: "cyan",
}
MARKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("✗", "yellow"),
    "skipped": ("–", "dim"),
    "running": ("▸", "cyan"),
    "waiting": ("·", "dim"),
}


def in_colour(status: Status) -> Text:
    return Text(status.value, style=COLOURS.get(status, ""))


def status_page(task: TaskStatus) -> RenderableType:
    """One task: what it is, when what happened, and a line a step."""
    head = Text.assemble((task.type, "bold"), "  ", in_colour(task.status))
    head.append(f"  {task.task_id}", style="dim")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    rows = [
        ("name", task.task_name),
        ("queue", task.queue),
        ("attempt", str(task.attempt) if task.attempt else None),
        ("worker", task.worker),
        ("created", _when(task.created_at)),
        ("starts", _when(task.run_at)),
        ("started", _when(task.started_at)),
        ("finished", _when(task.finished_at)),
        ("took", _span(task.started_at, task.finished_at)),
        ("retry of", task.retry_of),
        ("says", task.message),
    ]
    for name, value in rows:
        if value:
            facts.add_row(name, Text(printable(value)))
    parts: list[RenderableType] = [head, facts, _steps(task.steps)]
    if task.error is not None:
        code = (task.error.code, "red bold")
        parts.append(Text.assemble(code, f": {printable(task.error.message)}"))
    return Group(*parts)


def _steps(steps: Sequence[Step]) -> Table:
    table = Table.grid(padding=(0, 2))
    for step in steps:
        mark, colour = MARKS[step.status]
        percent = f"{step.percent:.0f}%" if step.percent is not None else ""
        note = step.error.code if step.error is not None else step.message or ""
        table.add_row(
            Text(mark, style=colour),
            Text(printable(step.handler)),
            Text(percent, justify="right"),
            Text(_span(step.started_at, step.finished_at) or "", style="dim"),
            Text(printable(note), style="dim"),
        )
    return table


def task_table(tasks: Sequence[TaskSummary]) -> RenderableType:
    """A line a task."""
    if not tasks:
        return Text("no tasks", style="dim")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("created", "type", "status", "took"):
        table.add_column(column, no_wrap=True)
    table.add_column("id", no_wrap=True, min_width=36)  # to be copied
    table.add_column("name")
    for task in tasks:
        table.add_row(
            _when(task.created_at),
            task.type,
            in_colour(task.status),
            _span(task.started_at, task.finished_at),
            Text(task.task_id, style="dim"),
            Text(printable(task.task_name or "")),
        )
    return table


def health_page(health: Health) -> RenderableType:
    """A line a part."""
    colour = "green" if health.healthy else "red"
    head = Text.assemble((health.status, f"bold {colour}"), f"  Stepline {health.version}")
    table = Table.grid(padding=(0, 2))
    for name, part in health.checks.items():
        up = part.status == "up"
        latency = f"{part.latency_ms:.1f} ms" if part.latency_ms is not None else ""
        alive = f"{part.count} alive" if part.count is not None else ""
        table.add_row(
            Text("✓" if up else "✗", style="green" if up else "red"),
            name,
            Text(part.detail or latency or alive, style="" if part.detail else "dim"),
        )
    return Group(head, table)


def types_table(types: Sequence[TaskTypeInfo]) -> RenderableType:
    """A line a type, with the fields of its payload."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("type", "queue", "fields", "what"):
        table.add_column(column, no_wrap=column in ("type", "queue"))
    for item in types:
        required = set(item.json_schema.get("required", ()))
        names = [name for name in item.json_schema.get("properties", {}) if name not in COMMON]
        fields = Text(" ").join(
            Text(name, style="" if name in required else "dim") for name in names
        )
        table.add_row(Text(item.name, style="bold"), item.queue, fields, item.description)
    return table


def _when(moment: datetime | None) -> str:
    """The local time, with the day unless it is today."""
    if moment is None:
        return ""
    local = moment.astimezone()
    return (
        f"{local:%H:%M:%S}"
        if local.date() == datetime.now().astimezone().date()
        else (f"{local:%Y-%m-%d %H:%M:%S}")
    )


def _span(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return ""
    seconds = (end - start).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
