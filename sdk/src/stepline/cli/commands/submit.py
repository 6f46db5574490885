"""`submit`, `chain`: new work."""

from __future__ import annotations

import json as jsonlib
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from stepline.cli.commands.options import Json, Timeout, Watch
from stepline.cli.fields import payload_from
from stepline.cli.session import Exit, Session, session_of
from stepline.cli.watching import watch as watch_task
from stepline.client import Client, SubmitOptions, Task

Name = Annotated[str | None, typer.Option("--task-name", help="A name for people.")]
Delay = Annotated[float | None, typer.Option(help="Start after so many seconds.")]
RunAt = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"], help="Start at this time."),
]
ExpiresIn = Annotated[float | None, typer.Option(help="Do not start after so many seconds.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Idempotency key: the same key, the same task.")
]


def add_to(app: typer.Typer) -> None:
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog="Fields of the payload are options: stepline submit quick --numbers 1,2,3 --watch",
    )(submit)
    app.command()(chain)


def submit(
    context: typer.Context,
    *,
    task_type: Annotated[str, typer.Argument(metavar="TYPE", help="See `stepline task-types`.")],
    payload: Annotated[
        str | None,
        typer.Option("--payload", "-p", metavar="FILE|-", help="The payload as a file of JSON."),
    ] = None,
    watch: Watch = False,
    timeout: Timeout = None,
    task_name: Name = None,
    delay: Delay = None,
    run_at: RunAt = None,
    expires_in: ExpiresIn = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Submit a task of any type."""
    session = session_of(context)
    session.json |= json
    options = _options(task_name, delay, run_at, expires_in, key)

    async def command(client: Client) -> Exit:
        body: dict[str, Any] = {} if payload is None else _object_from(payload)
        if context.args:
            body |= payload_from(context.args, await _schema(client, task_type))
        task = await client.submit(task_type, body, **options)
        return await _told(session, task, watch, timeout)

    session.run(command)


def chain(
    context: typer.Context,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The request as JSON.")],
    watch: Watch = False,
    timeout: Timeout = None,
    task_name: Name = None,
    delay: Delay = None,
    run_at: RunAt = None,
    expires_in: ExpiresIn = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Submit a chain: one request, one with a `handler_sequence`, or `batch_requests`."""
    session = session_of(context)
    session.json |= json
    options = _options(task_name, delay, run_at, expires_in, key)

    async def command(client: Client) -> Exit:
        body = _object_from(file)
        task = await client.submit(_kind_of_chain(body), body, **options)
        return await _told(session, task, watch, timeout)

    session.run(command)


def _kind_of_chain(body: dict[str, Any]) -> str:
    if "batch_requests" in body:
        return "chain_batch"
    return "chain_dynamic" if "handler_sequence" in body and "chain_type" not in body else "chain"


def _options(
    task_name: str | None,
    delay: float | None,
    run_at: datetime | None,
    expires_in: float | None,
    key: str | None,
) -> SubmitOptions:
    options = SubmitOptions()
    if task_name is not None:
        options["task_name"] = task_name
    if delay is not None:
        options["delay"] = delay
    if run_at is not None:
        options["run_at"] = run_at if run_at.tzinfo else run_at.astimezone()
    if expires_in is not None:
        options["expires_in"] = expires_in
    if key is not None:
        options["idempotency_key"] = key
    return options


async def _schema(client: Client, task_type: str) -> dict[str, Any]:
    """The JSON schema of a type's submissions; empty of one that the server will refuse."""
    name = task_type.replace("-", "_")
    found = [item for item in await client.task_types() if item.name == name]
    if not found:
        raise ValueError(f"there is no task type {task_type!r} here: see `stepline task-types`")
    return found[0].json_schema


def _object_from(place: str) -> dict[str, Any]:
    """The JSON object in a file, or on the standard input. Raises `ValueError`."""
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{place}: {error.strerror}") from error
    try:
        found = jsonlib.loads(text)
    except jsonlib.JSONDecodeError as error:
        raise ValueError(f"{place}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(  # noqa: TRY004 - of the text, not of an argument
            f"{place}: a JSON object is wanted, not {type(found).__name__}"
        )
    return found


async def _told(session: Session, task: Task[Any], watch: bool, timeout: float | None) -> Exit:
    """Watch it, or say which one it is."""
    if watch:
        return await watch_task(session, task, timeout)
    if session.json:
        session.print_json(task.accepted)
        return Exit.OK
    session.out.print(task.id)
    session.err.print(Text(f"accepted; stepline watch {task.id}", style="dim"))
    return Exit.OK
