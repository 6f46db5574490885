"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

TaskId = Annotated[str, typer.Argument(help="The task's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="For machines: JSON on the standard output.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show its steps live, to its end.")]
Timeout = Annotated[
    float | None,
    typer.Option(help="Seconds to wait at most; then exit code 4.", show_default="for ever"),
]
