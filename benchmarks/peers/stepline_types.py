"""The work as Stepline's handlers, and the processes that know them.

    python stepline_types.py api
    python stepline_types.py workers PROCESSES

Both are the service's own, with four more task types; settings come from the environment, as ever.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop
from pydantic import BaseModel
from stepline.authoring import Context, handler, task_type
from work import PAUSE, STEPS

from api.app import create_app
from api.server import listen, make_server
from handlers.builtin import TYPES
from handlers.registry import Registry
from infra.leaving import leave
from infra.logging import configure_logging
from infra.resources import open_resources
from infra.settings import load_settings
from workers.processes import run


class Nothing(BaseModel):
    """No payload."""


class Start(BaseModel):
    """Where a chain starts."""

    number: int


class Text(BaseModel):
    """Much."""

    text: str


def step(index: int) -> Any:
    async def add_one(ctx: Context, payload: Start) -> int:
        before = payload.number if index == 0 else ctx.outputs[f"bench_step_{index - 1}"]
        return int(before) + 1

    add_one.__name__ = f"bench_step_{index}"
    return handler(add_one)


@handler
async def bench_io(_ctx: Context, _payload: Nothing) -> str:
    await asyncio.sleep(PAUSE)
    return "waited"


@handler
async def bench_large(_ctx: Context, payload: Text) -> int:
    return len(payload.text)


def registry() -> Registry:
    return Registry(
        [
            *TYPES,
            task_type(
                "bench_chain", payload=Start, handlers=[step(n) for n in range(STEPS)], short=True
            ),
            task_type("bench_io", payload=Nothing, handlers=[bench_io], short=True),
            task_type("bench_large", payload=Text, handlers=[bench_large]),
        ]
    )


def api() -> int:
    settings = load_settings()
    configure_logging(settings)
    known = registry()
    queues = known.queues(settings.routes)
    app = create_app(settings, known, open_resources(settings, kind="api", queues=queues))
    with listen(settings.api_host, settings.api_port) as bound:
        server = make_server(app, settings.api_host, settings.api_port)
        uvloop.run(server.serve(sockets=[bound]))
    return 0


def workers(processes: int) -> int:
    settings = load_settings().model_copy(update={"worker_processes": processes})
    return run(settings, registry)


if __name__ == "__main__":
    leave(api() if sys.argv[1] == "api" else workers(int(sys.argv[2])))
