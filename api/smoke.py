"""`./task smoke [URL]`: every example of the README against a running deployment.

With keys, set `STEPLINE_CLIENT_KEY` to what a client sends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from stepline.client import Client
from stepline.contract import EventKind
from stepline.errors import SteplineError

from api.smoke_examples import EXAMPLES, Example

TIMEOUT = 60.0

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an example went; `problem` is empty when it went well."""

    name: str
    problem: str = ""


async def run(client: Client, example: Example) -> Outcome:
    """Send it, wait for its end, and check what came of it."""
    try:
        async with asyncio.timeout(TIMEOUT):
            response = await client.request(example.method, example.path, json=example.body)
            answer: Any = response.json()
            if example.ends and response.status_code == 202:
                answer = (await client.task(answer["task_id"]).finished()).model_dump(mode="json")
            if example.ends and answer["status"] != "SUCCESS":
                return Outcome(example.name, f"ended as {answer['status']}: {answer.get('error')}")
            found = answer.get("result") if example.ends else answer
            return Outcome(example.name, _check(example.check, found))
    except TimeoutError:
        return Outcome(example.name, f"no end within {TIMEOUT:g} s")
    except SteplineError as error:
        return Outcome(example.name, f"{error.code}: {error}")


def _check(check: Callable[[Any], bool], found: Any) -> str:
    try:
        return "" if check(found) else f"not as it should be: {str(found)[:300]}"
    except (KeyError, TypeError, IndexError) as error:
        return f"lacks {error}: {str(found)[:300]}"


async def stream(client: Client) -> Outcome:
    """A task's events, live, to its end."""
    name = "GET /tasks/{id}/events"
    try:
        async with asyncio.timeout(TIMEOUT):
            task = await client.submit("long", {"duration": 1})
            kinds = [event.kind async for event in task.events()]
    except (SteplineError, TimeoutError) as error:
        return Outcome(name, repr(error))
    wanted = [EventKind.QUEUED, EventKind.STARTED, EventKind.STEP_PROGRESS, EventKind.SUCCEEDED]
    missing = [kind.value for kind in wanted if kind not in kinds]
    return Outcome(name, f"no {', '.join(missing)}" if missing else "")


async def main(url: str) -> int:
    console.print(f"Every example against {url}\n")
    failed = 0
    async with Client(url, api_key=os.environ.get("STEPLINE_CLIENT_KEY")) as client:
        for example in EXAMPLES:
            failed += _tell(await run(client, example))
        failed += _tell(await stream(client))
    total = len(EXAMPLES) + 1
    console.print(f"\n{total - failed} of {total} went well")
    return 1 if failed else 0


def _tell(outcome: Outcome) -> bool:
    mark = "[red]✗[/]" if outcome.problem else "[green]✓[/]"
    console.print(f"  {mark} {outcome.name}")
    if outcome.problem:
        console.print(f"      {outcome.problem}", markup=False)
    return bool(outcome.problem)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")))
