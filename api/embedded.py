"""The whole system in one process: API and workers over the embedded parts. `./task dev`."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

import structlog
import uvloop
from fastapi import FastAPI
from rich.console import Console
from stepline.errors import SteplineError

from api.app import create_app
from api.server import Server, listen, make_server
from api.side import dashboard_beside
from handlers.plugins import full_registry
from infra.leaving import leave
from infra.limits import raise_open_files
from infra.logging import configure_logging
from infra.resources import Resources, open_resources
from infra.settings import Settings, SettingsError, load_settings
from workers.app import running_worker
from workers.rescue import republish_all
from workers.upkeep import running_upkeep

log = structlog.get_logger(__name__)


def embedded_app(settings: Settings) -> FastAPI:
    """An app whose process also runs a worker, over one set of resources."""
    registry = full_registry()

    @asynccontextmanager
    async def opening() -> AsyncIterator[Resources]:
        queues = registry.queues(settings.routes)
        async with (
            open_resources(settings, kind="embedded", queues=queues) as resources,
            running_worker(resources, registry),
        ):
            rescued = 0
            if resources.broker.confirms_history:
                rescued = await republish_all(resources)
            if rescued:
                log.info("rescued", tasks=rescued)
            async with running_upkeep(resources, registry):
                yield resources

    return create_app(settings, registry, opening())


@dataclass(frozen=True, slots=True)
class Stack:
    """A serving embedded stack: its settings (with the real port) and the server's task."""

    settings: Settings
    server: asyncio.Task[None]


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Stack]:
    """The embedded stack, serving while the context lasts."""
    with _listen(settings) as bound:
        port = bound.getsockname()[1]
        settings = settings.model_copy(update={"api_port": port})
        server = make_server(embedded_app(settings), settings.api_host, port)
        running = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            await _until_started(server, running)
            yield Stack(settings, running)
        finally:
            server.leave()
            await running


def _listen(settings: Settings) -> socket.socket:
    settings.require_safe_address()
    try:
        return listen(settings.api_host, settings.api_port)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.api_host}:{settings.api_port} ({error.strerror}): "
            "set STEPLINE_API_PORT to another port, or to 0 for a free one"
        ) from error


async def _until_started(server: Server, running: asyncio.Task[None]) -> None:
    while not server.started:
        if running.done():
            await running
            raise SteplineError("the server ended before it had started; the log says why")
        await asyncio.sleep(0.01)


def greet(console: Console, settings: Settings, *, with_dashboard: bool = False) -> None:
    """Say where to look, and a first command to try."""
    url = settings.resolved_api_url
    embedded = ", ".join(
        part.removesuffix("_URL").lower() for part in sorted(settings.embedded_parts)
    )
    console.print(f"\n[bold]Stepline[/] is up at [link={url}]{url}[/link]")
    if with_dashboard:
        host = settings.dashboard_host
        console.print(f"  dashboard  http://{host}:{settings.dashboard_port}")
    console.print(f"  docs       {url}/docs")
    console.print(f"  health     {url}/health")
    console.print(f"  tasks      {url}/tasks/")
    console.print(f"  embedded   {embedded or 'nothing'}; data in {settings.data_dir}/")
    console.print("\nWatch a task from its submission to its end:")
    console.print(
        f"  curl -N -H 'Accept: text/event-stream' -H 'Content-Type: application/json' \\\n"
        f"       -d '{{\"duration\": 5}}' {url}/tasks/long\n",
        highlight=False,
    )
    console.print("Ctrl-C stops it; accepted work goes on at the next start.\n")


async def _serve(settings: Settings, *, with_dashboard: bool) -> None:
    async with serving(settings) as stack:
        greet(Console(stderr=True), stack.settings, with_dashboard=with_dashboard)
        with dashboard_beside(stack.settings) if with_dashboard else nullcontext():
            await stack.server


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./task dev --", description=__doc__)
    parser.add_argument("--dashboard", action="store_true", help="with the dashboard beside it")
    given = parser.parse_args(arguments)
    try:
        settings = load_settings()
        settings.require_single("./task dev")
        configure_logging(settings)
        raise_open_files()
        uvloop.run(_serve(settings, with_dashboard=given.dashboard))
    except SteplineError as error:
        print(f"stepline: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    leave(main())
