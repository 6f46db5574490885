"""`./task demo`: the embedded stack, both demonstrations, every step live, and what came of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

import uvloop
from rich.console import Console
from stepline.cli.boards import Board, board_for
from stepline.client import Client
from stepline.contract import DemoTask, Status, TaskResult
from stepline.errors import SteplineError

from api.demo_view import summarise
from api.embedded import serving
from infra.leaving import leave
from infra.logging import configure_logging
from infra.settings import Settings, load_settings

TIMEOUT = 60.0


def main() -> int:
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="stepline-demo-"))
    try:
        settings = load_settings(
            broker_url="memory://",
            redis_url="fake://",
            database_url="",
            smtp_url="",
            exports_url="",
            data_dir=folder,
            api_host="127.0.0.1",
            api_port=0,
            api_url="",
            env="development",
            worker_queues="",
            log_level=os.environ.get("STEPLINE_LOG_LEVEL", "error"),
        )
        configure_logging(settings)
        return uvloop.run(_demo(console, settings))
    except KeyboardInterrupt:
        return 130
    except (SteplineError, TimeoutError) as error:
        console.print(f"[red]The demonstration broke off:[/] {error or type(error).__name__}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _demo(console: Console, settings: Settings) -> int:
    began = time.monotonic()
    console.print("[bold]Stepline[/]: starting broker, state, database, API and worker in memory …")
    async with serving(settings) as stack, Client(stack.settings.resolved_api_url) as client:
        console.print(
            f"Serving on {client.url} after {time.monotonic() - began:.1f} s. "
            "Submitting two demonstrations: one task of each type, and six chains.\n"
        )
        first = await client.demonstrate("/demo/run-concurrent-tasks")
        second = await client.demonstrate("/chain/demo")
        tasks = [*first.tasks, *second.tasks]
        with board_for(console) as board:
            async with asyncio.timeout(TIMEOUT):
                results = await asyncio.gather(*(_follow(client, task, board) for task in tasks))
        summarise(console, tasks, results)
        good = all(result.status is Status.SUCCESS for result in results)
        console.print(
            f"\n{len(results)} tasks, "
            + ("[green]all ended as they should[/]" if good else "[red]not all ended well[/]")
            + f", in {time.monotonic() - began:.1f} s."
        )
        console.print("Next: [bold]./task dev[/] keeps the stack up and says where to look.")
    return 0 if good else 1


async def _follow(client: Client, task: DemoTask, board: Board) -> TaskResult:
    """Show a task's events as they happen; then its result."""
    handle = client.task(task.task_id)
    board.add(task.task_id, task.type, task.description)
    async for event in handle.events():
        board.show(task.task_id, event)
    return await handle.result()


if __name__ == "__main__":
    leave(main())
