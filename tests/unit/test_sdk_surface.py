"""What the SDK promises to its users: its names, its docs, its size, how little it takes."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import stepline
from stepline import client, contract, testing

from tests.examples import examples_of, public

NAMES = [
    "APIError",
    "BadRequest",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "Context",
    "Event",
    "EventKind",
    "Handler",
    "InvalidAnswer",
    "NotFound",
    "Reject",
    "Retry",
    "RetryPolicy",
    "ServerError",
    "Status",
    "SteplineError",
    "Task",
    "TaskCancelled",
    "TaskFailed",
    "TaskResult",
    "TaskStatus",
    "TaskType",
    "Unauthorized",
    "Unavailable",
    "WaitTimeout",
    "handler",
    "task_type",
]


def test_the_names_are_pinned() -> None:
    assert stepline.__all__ == NAMES
    assert dir(stepline) == NAMES
    assert client.__all__ == ["Client", "Listing", "SubmitOptions", "Task"]
    assert testing.__all__ == [
        "CannedFetcher",
        "ChainResult",
        "FixedUsers",
        "MemoryExports",
        "RecordingContext",
        "RecordingMailer",
        "SentMail",
        "run_chain",
    ]


@pytest.mark.parametrize("module", [stepline, client, contract, testing])
def test_every_name_that_is_promised_is_there(module) -> None:
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


@pytest.mark.parametrize(("name", "item"), public().items())
def test_everything_public_says_what_it_is_with_an_example(name: str, item) -> None:
    assert len((inspect.getdoc(item) or "").split()) > 3, f"{name} has no docstring"
    assert examples_of(item), f"{name} has no example in its docstring"


def test_importing_the_package_loads_nothing() -> None:
    program = (
        "import sys, stepline; print(*[m for m in ('pydantic', 'httpx2') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert ran.stdout.strip() == b""


def test_the_client_needs_nothing_but_pydantic_and_httpx2() -> None:
    program = (
        "import sys, stepline.sync, stepline.testing, stepline.authoring\n"
        "heavy = ('rich', 'typer', 'click', 'pytest', 'fastapi', 'orjson', 'redis', 'sqlalchemy')\n"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert ran.stdout.strip() == b""
