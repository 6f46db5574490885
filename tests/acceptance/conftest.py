"""The whole service as its users meet it: processes of their own, spoken to over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from stepline.client import Client

from infra.services.mariadb import MariaDB
from infra.services.ports import free_port
from infra.services.rabbitmq import RabbitMQ, amqp_url
from infra.services.redis import Redis

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 110.0
REDIS_DATABASES = count(1)
"""One a deployment, or each would list the others' workers. Not 0: the other tests flush that."""


@dataclass(frozen=True)
class Deployment:
    """A running service: where its API is, its mode, and the environment to start more of it."""

    url: str
    mode: str
    environment: dict[str, str]
    folder: Path

    @contextmanager
    def process(self, *module: str) -> Iterator[subprocess.Popen[bytes]]:
        """One more process of it, ended at the end."""
        log = self.folder / f"{module[0]}-{uuid4().hex[:6]}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                yield child
            finally:
                child.send_signal(signal.SIGTERM)
                try:
                    child.wait(40)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def until_healthy(deployment: Deployment) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    seen = "nothing"
    with httpx2.Client() as client:
        while time.monotonic() < deadline:
            try:
                answer = client.get(f"{deployment.url}/health", timeout=5.0)
                if answer.status_code == 200:
                    return
                seen = answer.text
            except httpx2.TransportError as error:
                seen = repr(error)
            time.sleep(0.1)
    logs = "\n".join(path.read_text() for path in deployment.folder.glob("*.log"))
    pytest.fail(f"not healthy within {START_TIMEOUT:g} s: {seen}\n{logs[-4000:]}")


@pytest.fixture(
    scope="session", params=["embedded", pytest.param("services", marks=pytest.mark.services)]
)
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """One deployment a mode, for all tests."""
    made: Deployment = request.getfixturevalue(f"deployment_{request.param}")
    return made


# Apart from the parameter, so that both stay up while the tests of each file go from one to the
# other and back.


@pytest.fixture(scope="session")
def deployment_embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`./task dev`."""
    yield from running("embedded", tmp_path_factory.mktemp("embedded"), {}, ("api.embedded",))


@pytest.fixture(scope="session")
def deployment_services(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """API, worker and cron apart."""
    urls = service_urls(request)
    migrate(urls)
    modules = (("api",), ("workers",), ("workers.cron",))
    yield from running("services", tmp_path_factory.mktemp("services"), urls, *modules)


def migrate(urls: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "infra.history"],
        cwd=ROOT,
        env=os.environ | urls,
        check=True,
        capture_output=True,
    )


def running(
    mode: str, folder: Path, urls: dict[str, str], *modules: tuple[str, ...]
) -> Iterator[Deployment]:
    made = planned(mode, folder, urls)
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(made.process(*module))
        until_healthy(made)
        yield made


def planned(mode: str, folder: Path, urls: dict[str, str]) -> Deployment:
    """Where it will be; nothing of it runs."""
    port = free_port()
    environment = {
        "STEPLINE_API_PORT": str(port),
        "STEPLINE_DATA_DIR": str(folder / "data"),
        "STEPLINE_LOG_LEVEL": "warning",
        "STEPLINE_WORKER_GRACE": "1",
        "STEPLINE_METRICS_PORT": "0",
        **urls,
    }
    return Deployment(f"http://127.0.0.1:{port}", mode, environment, folder)


def service_urls(request: pytest.FixtureRequest) -> dict[str, str]:
    rabbitmq: RabbitMQ = request.getfixturevalue("rabbitmq")
    redis_server: Redis = request.getfixturevalue("redis_server")
    mariadb_server: MariaDB = request.getfixturevalue("mariadb_server")
    vhost, database = uuid4().hex[:12], f"t{uuid4().hex[:12]}"
    rabbitmq.management("PUT", f"/api/vhosts/{vhost}", {})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.management("PUT", f"/api/permissions/{vhost}/guest", everything)
    mariadb_server.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
    return {
        "STEPLINE_BROKER_URL": amqp_url(rabbitmq.port, vhost),
        "STEPLINE_REDIS_URL": redis_server.url_of(next(REDIS_DATABASES)),
        "STEPLINE_DATABASE_URL": mariadb_server.url_of(database),
    }


@pytest.fixture
async def client(deployment: Deployment) -> AsyncIterator[Client]:
    async with Client(deployment.url) as client:
        yield client


@pytest.fixture
async def http(deployment: Deployment) -> AsyncIterator[httpx2.AsyncClient]:
    """For what the SDK hides: headers, statuses, raw bytes."""
    async with httpx2.AsyncClient(base_url=deployment.url, timeout=40.0) as http:
        yield http
