"""What every command shares: where the service is, how to print, and which exit code is which."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NoReturn, TypeAlias

import typer
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from rich.console import Console
from rich.text import Text

from stepline.client import Client
from stepline.errors import (
    APIError,
    ConnectionFailed,
    InvalidAnswer,
    SteplineError,
    Unavailable,
    WaitTimeout,
)


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMEOUT = 4
    REFUSED = 5
    INTERRUPTED = 130


CODES: tuple[tuple[type[SteplineError], Exit], ...] = (
    (WaitTimeout, Exit.TIMEOUT),
    (ConnectionFailed, Exit.UNREACHABLE),
    (InvalidAnswer, Exit.UNREACHABLE),
    (Unavailable, Exit.UNREACHABLE),
    (APIError, Exit.REFUSED),
)

Command: TypeAlias = Callable[[Client], Coroutine[Any, Any, Exit]]


def _console(*, stderr: bool) -> Console:
    """As wide as the terminal; wide enough for any table where there is none."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = 200
    return console


@dataclass
class Session:
    """One run of the command. `out` is for what was asked for, `err` for what is told meanwhile."""

    url: str
    api_key: str | None = None
    json: bool = False
    patience: float = 5.0
    out: Console = field(default_factory=lambda: _console(stderr=False))
    err: Console = field(default_factory=lambda: _console(stderr=True))

    def run(self, command: Command) -> NoReturn:
        """Run `command` with a client; end the process with its code, or with an error's."""
        raise typer.Exit(self._run(command))

    def _run(self, command: Command) -> Exit:
        try:
            return asyncio.run(self._with_client(command))
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        except BrokenPipeError:  # `| head` has seen enough
            sys.stderr.close()
            return Exit.OK
        except SteplineError as error:
            self.complain(error)
            return next((code for kind, code in CODES if isinstance(error, kind)), Exit.FAILED)
        except ValueError as error:
            self.err.print(Text.assemble(("error: ", "red"), _words(error)), soft_wrap=True)
            return Exit.USAGE

    async def _with_client(self, command: Command) -> Exit:
        async with Client(self.url, api_key=self.api_key, patience=self.patience) as client:
            return await command(client)

    def complain(self, error: SteplineError) -> None:
        """Say what went wrong, on the standard error."""
        text = Text.assemble(("error: ", "red"), (error.code, "bold"), f": {error}")
        self.err.print(text, soft_wrap=True)
        for problem in getattr(error, "errors", ()):
            self.err.print(
                Text.assemble("  ", (problem["field"], "bold"), f": {problem['message']}")
            )

    def print_json(self, value: Any) -> None:
        """One document on one line of the standard output."""
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", exclude_none=True)
        sys.stdout.buffer.write(to_json(value) + b"\n")
        sys.stdout.buffer.flush()


def _words(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return str(error)


def session_of(context: typer.Context) -> Session:
    """The session that the main callback made."""
    found = context.find_object(Session)
    if found is None:
        raise RuntimeError("no session: a command was called without the main one")
    return found
