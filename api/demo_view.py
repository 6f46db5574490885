"""How the demonstration looks: a line a task with bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from stepline.contract import DemoTask, Event, EventKind, Status, TaskResult

MARKS = {
    EventKind.SUCCEEDED: "[green]done[/]",
    EventKind.FAILED: "[red]failed[/]",
    EventKind.CANCELLED: "[yellow]cancelled[/]",
}


class LiveBoard:
    """Bars that move: each task's share of steps done, and the step it is in."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[step]}"),
            console=console,
        )
        self._rows: dict[str, TaskID] = {}
        self._steps: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def add(self, task: DemoTask) -> None:
        name = f"[bold]{task.type:<11}[/] {task.description}"
        self._rows[task.task_id] = self._progress.add_task(name, total=100.0, step="waiting")

    def show(self, task: DemoTask, event: Event) -> None:
        row = self._rows[task.task_id]
        match event.kind:
            case EventKind.STEP_STARTED:
                self._steps[task.task_id] = event.total or 1.0
                self._progress.update(row, step=event.handler or "")
            case EventKind.STEP_PROGRESS:
                self._advance(task, event.index or 0, event.percent or 0.0)
                self._progress.update(row, step=f"{event.handler}  {event.message or ''}")
            case EventKind.STEP_COMPLETED:
                self._advance(task, event.index or 0, 100.0)
            case kind if kind.terminal:
                self._progress.update(row, completed=100.0, step=MARKS[kind])
            case _:
                pass

    def _advance(self, task: DemoTask, index: int, percent: float) -> None:
        steps = self._steps.get(task.task_id, 1.0)
        done = (index + percent / 100.0) / steps * 100.0
        self._progress.update(self._rows[task.task_id], completed=done)


class PlainBoard:
    """One line an event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def add(self, task: DemoTask) -> None:
        self._line(task, "submitted", task.description)

    def show(self, task: DemoTask, event: Event) -> None:
        details = [event.handler or ""]
        if event.kind is EventKind.STEP_PROGRESS:
            details.append(f"{event.percent:.0f}%" if event.percent is not None else "")
        if event.message:
            details.append(event.message)
        self._line(task, event.kind.value, " ".join(part for part in details if part))

    def _line(self, task: DemoTask, kind: str, details: str) -> None:
        seconds = time.monotonic() - self._began
        line = f"{seconds:6.2f}s  {task.type:<11} {task.task_id[-6:]}  {kind:<15} {details}"
        self._console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


def summarise(console: Console, tasks: list[DemoTask], results: list[TaskResult]) -> None:
    """What came of each task, in a table."""
    table = Table(title="Results", title_justify="left", header_style="bold", pad_edge=False)
    table.add_column("task")
    table.add_column("status")
    table.add_column("what came of it")
    for task, result in zip(tasks, results, strict=True):
        colour = "green" if result.status is Status.SUCCESS else "red"
        table.add_row(
            Text(f"{task.type}: {task.description}"),
            Text(result.status.value, style=colour),
            Text(_in_words(task.type, result)),
        )
    console.print()
    console.print(table)


def _in_words(task_type: str, result: TaskResult) -> str:
    if result.error is not None:
        return f"{result.error.code}: {result.error.message}"
    if task_type == "chain":
        return _chain_in_words(result.result)
    return WORDS[task_type].format_map(result.result)


WORDS = {
    "long": "{processed_items:,} items in {execution_time:.1f} s",
    "quick": "sum {sum}, average {average}, count {count}",
    "email": "to {recipient} by {transport}",
    "batch": "{successfully_processed} of {total_requested} users",
    "api_fetch": "{successful_requests} of {total_urls} addresses",
    "chain_batch": "{successful_requests} of {total_requests} requests",
}


def _chain_in_words(found: dict[str, Any]) -> str:
    steps = " → ".join(entry["handler"] for entry in found["processing_log"])
    export = found["processed_data"].get("export_result")
    return steps + (f"; wrote {export['filename']}" if export else "")
