"""One task as it happens: a bar for each of its steps."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from stepline.cli.boards import details_of, printable
from stepline.cli.session import Exit, Session
from stepline.client import Task
from stepline.contract import Event, Status, TaskResult, TaskStatus
from stepline.contract.events import (
    Cancelled,
    Failed,
    LogLine,
    Reset,
    RetryScheduled,
    StepCompleted,
    StepFailed,
    StepOutput,
    StepProgress,
    StepSkipped,
    StepStarted,
)
from stepline.errors import WaitTimeout

ENDED_STEPS = ("completed", "skipped", "failed", "cancelled")
PLACES = {"completed": "[green]✓[/]", "skipped": "[dim]–[/]", "failed": "[red]✗[/]"}


class View(Protocol):
    """Where one task's events go."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def show(self, event: Event) -> None: ...


class StepsView:
    """A bar for each step; what the steps say goes above them."""

    def __init__(self, console: Console, status: TaskStatus) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.fields[mark]}"),
            SpinnerColumn(finished_text=""),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
        )
        self._status = status
        self._rows: list[TaskID] = []

    def __enter__(self) -> Self:
        width = max((len(step.handler) for step in self._status.steps), default=0)
        for step in self._status.steps:
            name = escape(f"{step.handler:<{width}}")
            self._rows.append(
                self._progress.add_task(name, total=100.0, start=False, mark=" ", note="")
            )
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for row in self._rows:
            self._progress.stop_task(row)
        self._progress.stop()

    def show(self, event: Event) -> None:
        match event:
            case StepStarted(index=index):
                self._progress.reset(self._rows[index], start=True, mark=" ", note="")
            case StepProgress(index=index, percent=percent, message=message):
                note = escape(printable(message or ""))
                self._progress.update(self._rows[index], completed=percent or 0.0, note=note)
            case StepCompleted(index=index):
                self._end(index, "completed", completed=100.0)
            case StepSkipped(index=index, message=message):
                self._end(index, "skipped", note=escape(printable(message or "skipped")))
            case StepFailed(index=index):
                self._end(index, "failed", note=f"[red]{escape(details_of(event))}[/]")
            case StepOutput() | LogLine() | RetryScheduled() | Failed() | Cancelled():
                self._say(event)
            case Reset(snapshot=snapshot):
                self._say(event)
                self._jump(snapshot)
            case _:
                pass

    def _end(self, index: int, status: str, **fields: Any) -> None:
        row = self._rows[index]
        self._progress.update(row, mark=PLACES[status], **fields)
        self._progress.stop_task(row)

    def _jump(self, snapshot: TaskStatus) -> None:
        for step, row in zip(snapshot.steps, self._rows, strict=False):
            mark = PLACES.get(step.status, " ")
            self._progress.update(row, completed=step.percent or 0.0, mark=mark)

    def _say(self, event: Event) -> None:
        if isinstance(event, StepOutput) and isinstance(event.data, str):
            self._console.print(Text(printable(event.data)))
            return
        self._console.print(Text(f"{event.kind.value}: {details_of(event)}", style="dim"))


class LinesView:
    """A line an event, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def show(self, event: Event) -> None:
        line = f"{event.kind.value:<15}  {details_of(event)}"
        self._console.print(line.rstrip(), markup=False, soft_wrap=True)


class JsonView(LinesView):
    """An event a line as JSON, on the standard output."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.out)
        self._session = session

    def show(self, event: Event) -> None:
        self._session.print_json(event)


async def watch(session: Session, task: Task[Any], timeout: float | None) -> Exit:
    """Show a task to its end, then its result. Raises `WaitTimeout`."""
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline:
            view = await _view(session, task)
            with view:
                async for event in task.events():
                    view.show(event)
            result = await task.result()
    except TimeoutError:
        if not deadline.expired():
            raise
        raise WaitTimeout(f"{task.id} had not ended after {timeout:g} s; it goes on") from None
    return show_result(session, result)


async def _view(session: Session, task: Task[Any]) -> View:
    if session.json:
        return JsonView(session)
    status = await task.status()
    title = Text.assemble((status.type, "bold"), f" {printable(status.task_name or '')} ".rstrip())
    title.append(f"  {status.task_id}", style="dim")
    session.err.print(title)
    if session.err.is_terminal:
        return StepsView(session.err, status)
    return LinesView(session.err)


def show_result(session: Session, result: TaskResult) -> Exit:
    """The result on the standard output; an error on the other one."""
    code = exit_of(result.status)
    if session.json:
        session.print_json({"kind": "result", **result.model_dump(mode="json", exclude_none=True)})
        return code
    if result.error is not None:
        colour = "yellow" if result.status is Status.CANCELLED else "red"
        error = result.error
        where = f" in {error.handler}" if error.handler else ""
        session.err.print(
            Text.assemble((f"{result.status.value}{where}: ", colour), (error.code, "bold"))
            .append(": ")
            .append(printable(error.message))
        )
    elif code is Exit.TIMEOUT:
        session.err.print(Text.assemble((result.status.value, "yellow"), f": {result.message}"))
    if result.result is not None:
        session.out.print_json(data=result.result)
    return code


def exit_of(status: Status) -> Exit:
    """What a task's status means for a script."""
    if status is Status.SUCCESS:
        return Exit.OK
    return Exit.FAILED if status.ended else Exit.TIMEOUT
