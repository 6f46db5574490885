"""Tasks as they happen: bars that move on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from stepline.contract import EventKind
from stepline.contract.events import (
    BaseEvent,
    BaseServiceEvent,
    Cancelled,
    Event,
    Failed,
    FeedEvent,
    FeedReset,
    LogLine,
    Reset,
    RetryScheduled,
    StepCompleted,
    StepFailed,
    StepOutput,
    StepProgress,
    StepSkipped,
    StepStarted,
    Succeeded,
)

MARKS = {
    EventKind.SUCCEEDED: "[green]done[/]",
    EventKind.FAILED: "[red]failed[/]",
    EventKind.CANCELLED: "[yellow]cancelled[/]",
}
COLOURS: dict[str, str] = {
    EventKind.SUCCEEDED: "green",
    EventKind.STEP_COMPLETED: "green",
    EventKind.FAILED: "red",
    EventKind.STEP_FAILED: "red",
    EventKind.RETRY_SCHEDULED: "yellow",
    EventKind.CANCELLED: "yellow",
    EventKind.STEP_SKIPPED: "dim",
    EventKind.QUEUED: "dim",
}


class Board(Protocol):
    """Where the events of several tasks are shown."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def add(self, task_id: str, task_type: str, description: str) -> None:
        """A task that will be shown."""
        ...

    def show(self, task_id: str, event: Event) -> None:
        """What has happened to it."""
        ...


def board_for(console: Console) -> Board:
    """Bars where they can move, else lines."""
    return LiveBoard(console) if console.is_terminal else PlainBoard(console)


class LiveBoard:
    """A line a task: its share of steps done, and the step that it is in."""

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
        self._steps: dict[str, int] = {}

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

    def add(self, task_id: str, task_type: str, description: str) -> None:
        name = f"[bold]{escape(f'{task_type:<11}')}[/] {escape(printable(description))}"
        self._rows[task_id] = self._progress.add_task(name, total=100.0, step="waiting")

    def show(self, task_id: str, event: Event) -> None:
        row = self._rows[task_id]
        match event:
            case StepStarted(handler=handler, total=total):
                self._steps[task_id] = total
                self._progress.update(row, step=handler)
            case StepProgress(handler=handler, message=message):
                self._advance(task_id, event.index, event.percent or 0.0)
                self._progress.update(row, step=escape(printable(f"{handler}  {message or ''}")))
            case StepCompleted() | StepSkipped():
                self._advance(task_id, event.index, 100.0)
            case Succeeded() | Failed() | Cancelled():
                self._progress.update(row, completed=100.0, step=MARKS[event.kind])
            case Reset(snapshot=snapshot):
                percent = snapshot.progress.percent or 0.0
                self._progress.update(row, completed=percent, step=snapshot.message)
            case _:
                pass

    def _advance(self, task_id: str, index: int, percent: float) -> None:
        done = (index + percent / 100.0) / self._steps.get(task_id, 1) * 100.0
        self._progress.update(self._rows[task_id], completed=done)


class PlainBoard:
    """One line an event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._types: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def add(self, task_id: str, task_type: str, description: str) -> None:
        self._types[task_id] = task_type
        if description:
            self._line(task_id, "submitted", description)

    def show(self, task_id: str, event: Event) -> None:
        self._line(task_id, event.kind.value, details_of(event))

    def _line(self, task_id: str, kind: str, details: str) -> None:
        seconds = time.monotonic() - self._began
        line = f"{seconds:6.2f}s  {self._types[task_id]:<11} {task_id[-6:]}  {kind:<15} {details}"
        self._console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


def details_of(event: Event | FeedEvent) -> str:
    """What an event says beside its kind, in a few words."""
    match event:
        case StepProgress(handler=handler, percent=percent, message=message):
            parts = [handler, f"{percent:.0f}%" if percent is not None else "", message or ""]
        case StepOutput(handler=handler, data=data):
            parts = [handler, data if isinstance(data, str) else str(data)]
        case LogLine(handler=handler, message=message, data=data):
            fields = " ".join(f"{name}={value}" for name, value in (data or {}).items())
            parts = [handler, message or "", fields]
        case StepFailed(handler=handler, error=error) if error is not None:
            parts = [handler, f"{error.code}: {error.message}"]
        case Failed(error=error) if error is not None:
            parts = [f"{error.code}: {error.message}"]
        case RetryScheduled(message=message):
            parts = [message or ""]
        case Reset(snapshot=snapshot):
            parts = [f"events were missed; it is {snapshot.status.value}"]
        case FeedReset():
            parts = ["events were missed"]
        case BaseServiceEvent(by=by, reason=reason):
            what = str(getattr(event, "queue", None) or getattr(event, "worker", ""))
            parts = [what, f"by {by}", reason or ""]
        case _:
            parts = [getattr(event, "handler", None) or "", event.message or ""]
    return printable(" ".join(part for part in parts if part))


def event_line(event: FeedEvent) -> Text:
    """An event of the feed as one line of a terminal."""
    kind = (f"{event.kind.value:<15}  ", COLOURS.get(event.kind, ""))
    if not isinstance(event, BaseEvent):  # not of a task
        return Text.assemble(kind, details_of(event))
    return Text.assemble(
        (f"{event.at.astimezone():%H:%M:%S}  ", "dim"),
        f"{event.type or '':<11} ",
        (f"{event.task_id}  ", "dim"),
        kind,
        details_of(event),
    )


def printable(text: str) -> str:
    """Without what a terminal would obey: names and messages are whoever's."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )
