"""The commands."""

from __future__ import annotations

from typing import Annotated

import typer

from stepline.cli.commands import service, submit, tasks
from stepline.cli.session import Session

app = typer.Typer(
    name="stepline",
    help="Submit work to Stepline, watch every step of it, and look after what has become of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=(
        "Exit codes: 0 done; 1 the task ended badly, or the service is not healthy; 2 a wrong "
        "command; 3 not reachable; 4 not ended in time; 5 the service refused."
    ),
)


@app.callback()
def main(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="STEPLINE_URL", help="Where the service is.")
    ] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str | None,
        typer.Option(envvar="STEPLINE_API_KEY", help="`name.secret`.", show_default=False),
    ] = None,
    json: Annotated[
        bool,
        typer.Option("--json", help="For machines: JSON, one document a line, and nothing else."),
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds to go on trying while the service is away.")
    ] = 5.0,
) -> None:
    context.obj = Session(url, api_key, json, patience)


submit.add_to(app)
tasks.add_to(app)
service.add_to(app)


def run() -> None:
    """The entry point."""
    app(prog_name="stepline")
