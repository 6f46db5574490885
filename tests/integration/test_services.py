"""The local services, as `./task services` and the fault tests use them: started and hurt."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_client

from infra.services import mariadb, rabbitmq, redis
from infra.services.base import Service, ServiceFailed
from infra.services.greeting import broker_version
from infra.services.mariadb import MariaDB
from infra.services.rabbitmq import RabbitMQ
from infra.services.redis import Redis

pytestmark = [pytest.mark.services, pytest.mark.slow]

KINDS: dict[str, type[Service]] = {"RabbitMQ": RabbitMQ, "Redis": Redis, "MariaDB": MariaDB}
ANSWERS: dict[str, Callable[[int], object]] = {
    "RabbitMQ": rabbitmq.version,
    "Redis": redis.answers,
    "MariaDB": mariadb.answers,
}
ROOT = Path(__file__).parents[2]
LISTENING = "0A"
LOOPBACK = "0100007F"


@pytest.fixture(params=list(KINDS))
def service(
    request: pytest.FixtureRequest, services_folder: Path, needs: Callable[[str], None]
) -> Iterator[Service]:
    """Not started yet; ended at the end."""
    needs(request.param)
    kind: Callable[[Path], Service] = KINDS[request.param]
    made = kind(services_folder / f"hurt-{request.param.lower()}")
    yield made
    made.kill()


def processes_in(folder: Path) -> list[str]:
    """What runs with its working directory in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve(strict=True).is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # ended meanwhile
            continue
    return found


def wait_until_gone(folder: Path, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while left := processes_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def listening_addresses(port: int) -> set[str]:
    """As the kernel's tables show them: in hexadecimal, the last byte first."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == LISTENING and int(number, 16) == port:
                found.add(address)
    return found


def test_it_answers_on_loopback_only_and_leaves_nothing_behind(service: Service) -> None:
    service.start()

    assert ANSWERS[service.name](service.port)
    assert listening_addresses(service.port) == {LOOPBACK}
    assert service.version()[0].isdigit()

    service.stop()

    assert not ANSWERS[service.name](service.port)
    assert processes_in(service.folder) == []


def test_killed_and_started_again_it_has_its_port_and_data(service: Service) -> None:
    service.start()
    leave_a_mark(service)
    port = service.port

    service.kill()
    assert processes_in(service.folder) == []
    service.start()

    assert service.port == port
    assert mark_of(service) == "kept"


def test_no_second_process_touches_its_data(service: Service) -> None:
    service.start()
    kind: Callable[[Path], Service] = type(service)
    other = kind(service.folder)

    with pytest.raises(ServiceFailed, match="another process uses"):
        other.start()

    assert ANSWERS[service.name](service.port)


def test_given_up_while_starting_it_leaves_nothing_behind(service: Service) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(ServiceFailed, match="no longer wanted"):
        service.start(wanted=lambda: not stop.is_set())

    assert processes_in(service.folder) == []


def test_it_ends_with_whoever_started_it_even_by_kill_9(service: Service) -> None:
    program = f"""
from pathlib import Path
from {type(service).__module__} import {type(service).__name__} as Kind
Kind(Path({str(service.folder)!r})).start()
print("started", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"started\n"
        assert processes_in(service.folder)

        starter.kill()

    wait_until_gone(service.folder)


def test_frozen_it_does_not_answer_until_it_goes_on(redis_server: Redis) -> None:
    redis_server.pause()
    try:
        assert not redis.answers(redis_server.port)
    finally:
        redis_server.resume()

    assert redis.answers(redis_server.port)


def test_a_wrong_password_is_told_from_a_right_one(rabbitmq: RabbitMQ) -> None:
    assert broker_version(rabbitmq.port, "guest", "guest") == rabbitmq.version()
    assert broker_version(rabbitmq.port, "guest", "wrong") is None


def test_a_port_that_speaks_something_else_is_no_rabbitmq(redis_server: Redis) -> None:
    assert rabbitmq.version(redis_server.port) is None


def leave_a_mark(service: Service) -> None:
    if isinstance(service, RabbitMQ):
        service.management("PUT", "/api/vhosts/kept", {})
        service.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
    elif isinstance(service, MariaDB):
        service.execute("CREATE DATABASE kept")
    else:
        with redis_client.Redis.from_url(service.url) as client:
            client.set("mark", "kept")


def mark_of(service: Service) -> str:
    if isinstance(service, RabbitMQ):
        return str(service.management("GET", "/api/vhosts/kept")["name"])
    if isinstance(service, MariaDB):
        return str(mariadb.execute(service.port, "SHOW DATABASES LIKE 'kept'"))
    with redis_client.Redis.from_url(service.url, decode_responses=True) as client:
        return str(client.get("mark"))
