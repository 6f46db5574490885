"""Work that takes longer than RabbitMQ lets a message be unacknowledged: the long form only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from stepline.client import Client
from stepline.contract import EventKind, Status

from infra.services.rabbitmq import RabbitMQ
from tests.acceptance.conftest import ROOT, Deployment, service_urls
from tests.conftest import started
from tests.faults.conftest import LONG, made

pytestmark = [pytest.mark.slow, pytest.mark.services]

Start = Callable[..., subprocess.Popen[bytes]]
Healthy = Callable[[Deployment], None]
SECONDS = 150
CONSUMER_TIMEOUT = 60


class ImpatientRabbitMQ(RabbitMQ):
    """Takes a channel away whose message is unacknowledged for a minute."""

    def _environment(self) -> Mapping[str, str]:
        arguments = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
        usual = dict(super()._environment())
        timeout = f"-rabbit consumer_timeout {CONSUMER_TIMEOUT * 1000}"
        return usual | {arguments: f"{usual[arguments]} {timeout}"}


@pytest.fixture
def rabbitmq(faults_folder: Path) -> Iterator[object]:
    yield from started("RabbitMQ", lambda: ImpatientRabbitMQ(faults_folder / "impatient"))


@pytest.mark.skipif(not LONG, reason="two and a half minutes: the long form has it")
@pytest.mark.timeout(400)
async def test_a_task_outlasts_the_consumer_timeout_undisturbed(
    tmp_path: Path, request: pytest.FixtureRequest, start: Start, healthy: Healthy
) -> None:
    environment = service_urls(request) | {"STEPLINE_CONSUMER_TIMEOUT": str(CONSUMER_TIMEOUT)}
    deployment = made(tmp_path, "services", **environment)
    subprocess.run(
        [sys.executable, "-m", "infra.history"],
        cwd=ROOT,
        env=os.environ | deployment.environment,
        check=True,
        capture_output=True,
    )
    start(deployment, "api")
    start(deployment, "workers")
    healthy(deployment)
    async with Client(deployment.url) as client:
        task = await client.submit("long", {"duration": SECONDS})
        events = [event async for event in task.events()]
        status = await task.status()

    assert (status.status, status.attempt) == (Status.SUCCESS, 1)
    assert [event.kind for event in events].count(EventKind.STARTED) == 1
    seconds = [event.current for event in events if event.kind is EventKind.STEP_PROGRESS]
    assert seconds == sorted(set(seconds)), "no second is worked twice"
    log = "".join(path.read_text() for path in deployment.folder.glob("workers-*.log"))
    assert "consumer_lost" not in log, "RabbitMQ took no channel away"
