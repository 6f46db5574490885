"""What came of the demonstration, in a table; while it runs, the SDK's boards show it."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from stepline.contract import DemoTask, Status, TaskResult


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
