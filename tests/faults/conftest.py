"""Deployments that may be hurt: each test has its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.services.base import Service
from infra.services.mariadb import MariaDB
from infra.services.ports import free_port
from infra.services.rabbitmq import RabbitMQ
from infra.services.redis import Redis
from tests.acceptance.conftest import ROOT, Deployment, service_urls, until_healthy
from tests.conftest import need, started
from tests.faults.checker import Verdict
from tests.faults.results import Row, keep
from tests.faults.stand import Services, Stand, stand_on

LONG = os.environ.get("STEPLINE_FAULTS") == "long"
""" `STEPLINE_FAULTS=long`: every repetition, and the tests that take minutes."""

MOST_SECONDS = 900 if LONG else 240
"""Of one test: it waits for what must come, on a machine that may be busy."""

Start = Callable[..., subprocess.Popen[bytes]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"stand", "services"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)
            item.add_marker(pytest.mark.slow)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(MOST_SECONDS))


@pytest.fixture(scope="session")
def faults_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sl-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class ExactRabbitMQ(RabbitMQ):
    """Tells each second how many messages a queue has, instead of every five."""

    def _environment(self) -> Mapping[str, str]:
        arguments = "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"
        usual = dict(super()._environment())
        ticks = "-rabbit quorum_tick_interval 1000"
        return usual | {arguments: f"{usual[arguments]} {ticks}"}


@pytest.fixture(scope="session")
def rabbitmq(faults_folder: Path) -> Iterator[Service]:
    """Not the other tests': here it is killed."""
    yield from started("RabbitMQ", lambda: ExactRabbitMQ(faults_folder / "rabbitmq"))


@pytest.fixture(scope="session")
def redis_server(faults_folder: Path) -> Iterator[Service]:
    databases = ("--databases", "1000")  # one a deployment
    yield from started("Redis", lambda: Redis(faults_folder / "redis", extra=databases))


@pytest.fixture(scope="session")
def mariadb_server(faults_folder: Path) -> Iterator[Service]:
    yield from started("MariaDB", lambda: MariaDB(faults_folder / "mariadb"))


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Services:
    """What is still down from the test before is started again."""
    for name in ("RabbitMQ", "Redis", "MariaDB"):
        need(name)
    found = [request.getfixturevalue(f) for f in ("rabbitmq", "redis_server", "mariadb_server")]
    for service in found:
        if not service.running:
            service.start()
    return Services(*found)


@pytest.fixture
async def stand(services: Services, tmp_path: Path) -> AsyncIterator[Stand]:
    """Nothing runs in it yet: `await stand.up()`."""
    async with stand_on(services, tmp_path) as made:
        yield made


@pytest.fixture
def long_form() -> bool:
    return LONG


@pytest.fixture
def only_long() -> None:
    if not LONG:
        pytest.skip("takes minutes: STEPLINE_FAULTS=long ./task test:faults")


Measured = Callable[..., None]


@pytest.fixture
def measured() -> Measured:
    """Keeps a row for the report: `measured(verdict, fault, promise, recovery=[…])`."""

    def row(
        verdict: Verdict,
        fault: str,
        promise: str,
        *,
        invariants: str = "I1-I7",
        recovery: Sequence[float] = (),
        repeated: int = 1,
        absorbed: int = 0,
    ) -> None:
        keep(
            Row(
                fault=fault,
                promise=promise,
                invariants=invariants,
                accepted=verdict.accepted,
                ended=verdict.ended,
                lost=verdict.lost,
                absorbed=verdict.absorbed + absorbed,
                recovery=list(recovery),
                repeated=repeated,
                long=LONG,
            )
        )

    return row


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(deployment, module)` starts a process that ends with the test at the latest."""
    with ExitStack() as stack:

        def begin(deployment: Deployment, *module: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(deployment.process(*module))

        yield begin


def made(folder: Path, mode: str, **environment: str) -> Deployment:
    port = free_port()
    base = {
        "STEPLINE_API_PORT": str(port),
        "STEPLINE_DATA_DIR": str(folder / "data"),
        "STEPLINE_LOG_LEVEL": "warning",
        "STEPLINE_WORKER_GRACE": "1",
        "STEPLINE_METRICS_PORT": "0",
    }
    return Deployment(f"http://127.0.0.1:{port}", mode, base | environment, folder)


@pytest.fixture
def embedded(tmp_path: Path) -> Deployment:
    """Not started yet."""
    return made(tmp_path, "embedded")


@pytest.fixture
def apart(tmp_path: Path, request: pytest.FixtureRequest, start: Start) -> Deployment:
    """An API over real services; workers are the test's to start."""
    deployment = made(tmp_path, "services", **service_urls(request))
    subprocess.run(
        [sys.executable, "-m", "infra.history"],
        cwd=ROOT,
        env=os.environ | deployment.environment,
        check=True,
        capture_output=True,
    )
    start(deployment, "api")
    return deployment


@pytest.fixture
def healthy() -> Callable[[Deployment], None]:
    return until_healthy
