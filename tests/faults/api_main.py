"""An API under test: the product's own, with `POST /faults`, and places where it may crash."""

from __future__ import annotations

import sys

import uvloop
from fastapi import APIRouter, Response

from api.accept import AcceptanceDep
from api.app import create_app
from api.server import listen, make_server
from infra.broker.rabbit import RabbitBroker
from infra.leaving import leave
from infra.logging import configure_logging
from infra.resources import open_resources
from infra.settings import load_settings
from infra.state.idempotency import IdempotencyKeys
from infra.state.store import State
from tests.faults.census import count_on_signal
from tests.faults.crash import CrashPoints
from tests.faults.journal import Lines
from tests.faults.kinds import SHORT, Work, fault_registry, folder

POINTS = (
    "before_reserve",
    "after_reserve",
    "after_create",
    "before_publish",
    "after_publish",
    "after_confirm",
    "after_accepted",
)
"""In the order in which a submission with an Idempotency-Key comes by them."""

router = APIRouter()


@router.post("/faults", status_code=202)
async def submit(body: Work, accept: AcceptanceDep) -> Response:
    return await accept(SHORT if body.short else "fault", body)


def install(points: CrashPoints) -> None:
    points.around(IdempotencyKeys, "reserve", before="before_reserve", after="after_reserve")
    points.around(State, "submit", after="after_create")
    points.around(RabbitBroker, "accept", before="before_publish", after="after_publish")
    points.around(State, "confirm", after="after_confirm")
    points.around(IdempotencyKeys, "accepted", after="after_accepted")


def main() -> int:
    settings = load_settings()
    configure_logging(settings)
    install(CrashPoints(folder()))
    count_on_signal(folder())
    registry = fault_registry(Lines(folder()))
    queues = registry.queues(settings.routes)
    app = create_app(settings, registry, open_resources(settings, kind="api", queues=queues))
    app.include_router(router)
    with listen(settings.api_host, settings.api_port) as bound:
        server = make_server(app, settings.api_host, settings.api_port)
        uvloop.run(server.serve(sockets=[bound]))
    print("stopped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    leave(main())
