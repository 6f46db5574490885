"""`health`, `task-types`: the service itself."""

from __future__ import annotations

import typer

from stepline.cli.commands.options import Json
from stepline.cli.pages import health_page, types_table
from stepline.cli.session import Exit, session_of
from stepline.client import Client


def add_to(app: typer.Typer) -> None:
    app.command()(health)
    app.command("task-types")(task_types)


def health(context: typer.Context, json: Json = False) -> None:
    """How the service is, part by part. Exit code 1 if one is down."""
    session = session_of(context)
    session.json |= json

    async def command(client: Client) -> Exit:
        found = await client.health()
        if session.json:
            session.print_json(found)
        else:
            session.out.print(health_page(found))
        return Exit.OK if found.healthy else Exit.FAILED

    session.run(command)


def task_types(context: typer.Context, json: Json = False) -> None:
    """The types that can be submitted, and their fields."""
    session = session_of(context)
    session.json |= json

    async def command(client: Client) -> Exit:
        found = await client.task_types()
        if session.json:
            for item in found:
                session.print_json(item)
        else:
            session.out.print(types_table(found))
        return Exit.OK

    session.run(command)
