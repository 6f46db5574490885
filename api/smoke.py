"""`./task smoke [URL]`: every example of the README that a system in use can bear, against it.

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
from stepline.errors import SteplineError

from api.smoke_examples import EXAMPLES, Example
from api.smoke_stories import STORIES, Story

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


async def tell(client: Client, story: Story) -> Outcome:
    """Live it through."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return Outcome(story.name, await story.tell(client))
    except TimeoutError:
        return Outcome(story.name, f"no end within {TIMEOUT:g} s")
    except SteplineError as error:
        return Outcome(story.name, f"{error.code}: {error}")
    except (KeyError, TypeError, ValueError) as error:
        return Outcome(story.name, f"an answer was not as it should be: {error!r}")


async def main(url: str) -> int:
    console.print(f"Every example against {url}\n")
    failed = 0
    # one that does not answer is what it is here for: no patience
    key = os.environ.get("STEPLINE_CLIENT_KEY")
    async with Client(url, api_key=key, patience=0) as client:
        for example in EXAMPLES:
            failed += _show(await run(client, example))
        for story in STORIES:
            failed += _show(await tell(client, story))
    total = len(EXAMPLES) + len(STORIES)
    console.print(f"\n{total - failed} of {total} went well")
    return 1 if failed else 0


def _show(outcome: Outcome) -> bool:
    mark = "[red]✗[/]" if outcome.problem else "[green]✓[/]"
    console.print(f"  {mark} {outcome.name}")
    if outcome.problem:
        console.print(f"      {outcome.problem}", markup=False)
    return bool(outcome.problem)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")))
