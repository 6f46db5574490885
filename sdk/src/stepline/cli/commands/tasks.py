"""`watch`, `status`, `result`, `list`, `retry`, `cancel`, `tail`: tasks that there are."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from stepline.cli.boards import details_of, event_line
from stepline.cli.commands.options import Json, TaskId, Timeout, Watch
from stepline.cli.pages import status_page, task_table
from stepline.cli.session import Exit, session_of
from stepline.cli.watching import exit_of, show_result
from stepline.cli.watching import watch as watch_task
from stepline.client import Client
from stepline.contract import Status, TaskSummary

STREAM_PATIENCE = 60.0
"""Seconds that a stream's server may be away: a restart is nothing to give up for."""

Since = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="From then on.")
]
Type = Annotated[str | None, typer.Option("--type", help="Only of this type.")]
Queue = Annotated[str | None, typer.Option("--queue", help="Only of this queue.")]
Only = Annotated[Status | None, typer.Option("--status", case_sensitive=False)]


def add_to(app: typer.Typer) -> None:
    for command in (watch, status, result, retry, cancel, tail):
        app.command()(command)
    app.command("list")(list_tasks)


def watch(
    context: typer.Context, task_id: TaskId, timeout: Timeout = None, json: Json = False
) -> None:
    """Show a task's steps live, to its end, and its result."""
    session = session_of(context)
    session.json |= json
    session.patience = max(session.patience, STREAM_PATIENCE)
    session.run(lambda client: watch_task(session, client.task(task_id), timeout))


def status(context: typer.Context, task_id: TaskId, json: Json = False) -> None:
    """Where a task is: its steps, its progress, its times."""
    session = session_of(context)
    session.json |= json

    async def command(client: Client) -> Exit:
        found = await client.task(task_id).status()
        if session.json:
            session.print_json(found)
        else:
            session.out.print(status_page(found))
        return Exit.OK

    session.run(command)


def result(
    context: typer.Context,
    *,
    task_id: TaskId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """What a task has given. Exit code 1 if it ended badly, 4 if it has not ended."""
    session = session_of(context)
    session.json |= json

    async def command(client: Client) -> Exit:
        task = client.task(task_id)
        found = await (task.finished(timeout) if wait or timeout else task.result())
        if session.json:
            session.print_json(found)
            return exit_of(found.status)
        return show_result(session, found)

    session.run(command)


def list_tasks(
    context: typer.Context,
    *,
    status: Only = None,
    task_type: Type = None,
    queue: Queue = None,
    text: Annotated[str | None, typer.Option(help="In its name.")] = None,
    since: Since = None,
    until: Since = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 20,
    json: Json = False,
) -> None:
    """Tasks, newest first."""
    session = session_of(context)
    session.json |= json

    async def command(client: Client) -> Exit:
        listing = client.list(
            status=status,
            type=task_type,
            queue=queue,
            text=text,
            since=since and since.astimezone(),
            until=until and until.astimezone(),
            page_size=min(limit, 200),
        )
        found: list[TaskSummary] = []
        async for task in listing:
            found.append(task)
            if session.json:
                session.print_json(task)
            if len(found) == limit:
                break
        if not session.json:
            session.out.print(task_table(found))
        return Exit.OK

    session.run(command)


def retry(
    context: typer.Context,
    *,
    task_id: TaskId,
    from_step: Annotated[
        str | None, typer.Option(help="The name or index of the first step to run.")
    ] = None,
    watch: Watch = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """A new task from an ended one."""
    session = session_of(context)
    session.json |= json
    step = int(from_step) if from_step and from_step.isdecimal() else from_step

    async def command(client: Client) -> Exit:
        task = await client.task(task_id).retry(from_step=step)
        if watch:
            return await watch_task(session, task, timeout)
        if session.json:
            session.print_json(task.accepted)
        else:
            session.out.print(task.id)
        return Exit.OK

    session.run(command)


def cancel(
    context: typer.Context,
    task_id: TaskId,
    reason: Annotated[str | None, typer.Option(help="Why, for people.")] = None,
    json: Json = False,
) -> None:
    """Cancel a task: a waiting one now, a running one within a second."""
    session = session_of(context)
    session.json |= json

    async def command(client: Client) -> Exit:
        answer = await client.task(task_id).cancel(reason)
        if session.json:
            session.print_json(answer)
        else:
            session.out.print(answer.message)
        return Exit.OK

    session.run(command)


def tail(
    context: typer.Context,
    *,
    task_type: Type = None,
    queue: Queue = None,
    status: Annotated[
        Status | None, typer.Option(case_sensitive=False, help="What a task is after the event.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Begin after this event; 0: with all that is kept.")
    ] = None,
    json: Json = False,
) -> None:
    """What happens to all tasks, live, until Ctrl-C."""
    session = session_of(context)
    session.json |= json
    session.patience = max(session.patience, STREAM_PATIENCE)

    async def command(client: Client) -> Exit:
        async for event in client.feed(type=task_type, queue=queue, status=status, after=after):
            if session.json:
                session.print_json(event)
            elif session.out.is_terminal:
                session.out.print(event_line(event), soft_wrap=True)
            else:
                task_id = getattr(event, "task_id", "")
                line = f"{event.kind.value}\t{task_id}\t{details_of(event)}"
                session.out.print(line, markup=False, soft_wrap=True)
        return Exit.OK

    session.run(command)
