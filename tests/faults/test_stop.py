"""Ctrl-C and SIGTERM: everything ends in order, quietly, with exit code 0."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from stepline.client import Client

from tests.acceptance.conftest import Deployment
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[bytes]]
Healthy = Callable[[Deployment], None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_embedded_stack_stops_in_order(
    embedded: Deployment, start: Start, healthy: Healthy, number: signal.Signals
) -> None:
    process = start(embedded, "api.embedded")
    healthy(embedded)
    async with Client(embedded.url) as client:
        task = await client.submit("long", {"duration": 60})
        events = task.events()
        assert (await anext(events)).kind == "queued"

        process.send_signal(number)
        code = process.wait(20)

    assert code == 0
    log = "".join(path.read_text() for path in embedded.folder.glob("*.log"))
    assert "Traceback" not in log
    assert "CancelledError" not in log


@pytest.mark.services
@pytest.mark.parametrize(
    ("module", "ready"), [("workers", "worker_started"), ("workers.cron", "cron_started")]
)
async def test_processes_of_their_own_stop_in_order(
    apart: Deployment, start: Start, module: str, ready: str
) -> None:
    talkative = replace(apart, environment=apart.environment | {"STEPLINE_LOG_LEVEL": "info"})
    process = start(talkative, module)

    def log() -> str:
        return "".join(path.read_text() for path in apart.folder.glob(f"{module}-*.log"))

    await wait_for(lambda: ready in log(), PATIENCE)
    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0, log()
    assert "Traceback" not in log()
