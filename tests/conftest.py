"""Private services on free ports, started when the first test asks and stopped at the end."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from infra.services.base import Service
from infra.services.mariadb import MariaDB
from infra.services.rabbitmq import RabbitMQ
from infra.services.rabbitmq import amqp_url as url_of_vhost
from infra.services.redis import Redis

KEPT = {"STEPLINE_REQUIRE_SERVICES", "STEPLINE_FAULTS"}
REQUIRED = os.environ.get("STEPLINE_REQUIRE_SERVICES") == "1"
FIXTURES = {
    "rabbitmq",
    "redis_server",
    "mariadb_server",
    "amqp_url",
    "redis_url",
    "mysql_database",
}
KINDS: dict[str, type[Service]] = {"RabbitMQ": RabbitMQ, "Redis": Redis, "MariaDB": MariaDB}
NOT_INSTALLED = "is not installed: "


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith("STEPLINE_")]:
        if name not in KEPT:  # a developer's own settings are not the tests'
            del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # processes would take seconds longer to start
    signal.signal(signal.SIGTERM, end_in_order)


def end_in_order(*_: object) -> None:
    """As Ctrl-C: the fixtures stop the services that they started, where a plain SIGTERM would
    leave them running."""
    raise KeyboardInterrupt


LONGEST_FIRST = ("faults", "browser", "docs", "acceptance")
"""Kinds whose files take minutes: begun last, one would keep a single process busy at the end."""


def _turn(item: pytest.Item) -> int:
    kinds = [kind for kind in LONGEST_FIRST if kind in item.path.parts]
    return LONGEST_FIRST.index(kinds[0]) if kinds else len(LONGEST_FIRST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on what was left out; from the reports, since xdist skips in other processes."""
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and NOT_INSTALLED in report.longrepr[2]
    ]
    if reasons:
        why = "; ".join(sorted(set(reasons)))
        counted = "1 test" if len(reasons) == 1 else f"{len(reasons)} tests"
        terminalreporter.write_line(f"left out {counted}, since {why}")


@pytest.fixture(scope="session")
def services_folder() -> Iterator[Path]:
    """Not pytest's own folder: the path to a socket has to be short."""
    folder = Path(tempfile.mkdtemp(prefix="sl-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def need(name: str) -> None:
    """Skip the test if the service is not installed; fail it where services are required."""
    kind = KINDS[name]
    if not kind.missing():
        return
    reason = f"{name} {NOT_INSTALLED}`apt-get install {kind.package}`"
    if REQUIRED:
        pytest.fail(f"STEPLINE_REQUIRE_SERVICES=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture
def needs() -> Callable[[str], None]:
    """`needs("Redis")` in a test that starts one of its own."""
    return need


def started(name: str, make: Callable[[], Service]) -> Iterator[Service]:
    need(name)
    service = make()
    service.start()
    try:
        yield service
    finally:
        service.kill()  # nobody needs its data any more


@pytest.fixture(scope="session")
def rabbitmq(services_folder: Path) -> Iterator[Service]:
    yield from started("RabbitMQ", lambda: RabbitMQ(services_folder / "rabbitmq"))


@pytest.fixture(scope="session")
def redis_server(services_folder: Path) -> Iterator[Service]:
    databases = ("--databases", "1000")  # one a deployment
    yield from started("Redis", lambda: Redis(services_folder / "redis", extra=databases))


@pytest.fixture(scope="session")
def mariadb_server(services_folder: Path) -> Iterator[Service]:
    yield from started("MariaDB", lambda: MariaDB(services_folder / "mariadb"))


@pytest.fixture
def amqp_url(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A virtual host of the test's own."""
    vhost = uuid4().hex[:12]
    rabbitmq.management("PUT", f"/api/vhosts/{vhost}", {})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.management("PUT", f"/api/permissions/{vhost}/guest", everything)
    yield url_of_vhost(rabbitmq.port, vhost)
    rabbitmq.management("DELETE", f"/api/vhosts/{vhost}")


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """An empty Redis database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()
    return redis_server.url


@pytest.fixture
def mysql_database(mariadb_server: MariaDB) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    name = f"t{uuid4().hex[:12]}"
    mariadb_server.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    yield mariadb_server.url_of(name)
    mariadb_server.execute(f"DROP DATABASE `{name}`")
