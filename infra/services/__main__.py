"""`python -m infra.services`: local RabbitMQ, Redis and MariaDB, until Ctrl-C.

What runs already and lets us in is used as it is, and left running. The lines to export go to
stdout, everything else to stderr: `eval "$(…)"` would work.
"""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from stepline.errors import SteplineError

from infra.services import mariadb, rabbitmq, redis
from infra.services.base import Service, free_port, is_free
from infra.settings import load_settings

AMQP, MANAGEMENT, REDIS, MYSQL = 5672, 15672, 6379, 3306

console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Found:
    """A service that can be used: its setting, where it is, and the process if it is ours."""

    setting: str
    url: str
    service: Service | None
    note: str


def port_or_other(standard: int) -> int:
    return standard if is_free(standard) else free_port()


def start(service: Service, setting: str) -> Found:
    console.print(f"  starting {service.name} …")
    service.start()
    return Found(setting, service.url, service, f"{service.name} {service.version()}, started")


def find_rabbitmq(folder: Path) -> Found:
    if rabbitmq.speaks_amqp(AMQP) and rabbitmq.answers(MANAGEMENT):
        url = rabbitmq.amqp_url(AMQP)
        return Found("BROKER_URL", url, None, "RabbitMQ, which runs already")
    service = rabbitmq.RabbitMQ(folder / "rabbitmq", port_or_other(AMQP), port_or_other(MANAGEMENT))
    found = start(service, "BROKER_URL")
    ui = f"{found.note}; its UI: {service.management_url} (guest / guest)"
    if service.port != AMQP:
        ui += f"; port {AMQP} is taken by one that has no management UI for guest"
    return Found(found.setting, found.url, service, ui)


def find_redis(folder: Path) -> Found:
    if redis.answers(REDIS):
        return Found("REDIS_URL", f"redis://127.0.0.1:{REDIS}/0", None, "Redis, which runs already")
    return start(redis.Redis(folder / "redis", port_or_other(REDIS)), "REDIS_URL")


def find_mariadb(folder: Path) -> Found:
    if mariadb.answers(MYSQL):
        mariadb.execute(MYSQL, mariadb.create_statement(mariadb.DATABASE))
        url = mariadb.database_url(MYSQL, mariadb.DATABASE)
        return Found("DATABASE_URL", url, None, "MariaDB, which runs already")
    return start(mariadb.MariaDB(folder / "mariadb", port_or_other(MYSQL)), "DATABASE_URL")


def find_all(folder: Path, found: list[Found]) -> None:
    """All three at once. What was found is in `found` also when this raises, to be stopped."""
    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(find, folder) for find in (find_rabbitmq, find_redis, find_mariadb)]
    failures = [failure for search in searches if (failure := search.exception())]
    found += [search.result() for search in searches if not search.exception()]
    if failures:
        raise SteplineError("\n".join(str(failure) for failure in failures))


def main() -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    found: list[Found] = []
    try:
        folder = load_settings().data_dir / "services"
        console.print(f"Local services, with their data under {folder}/")
        find_all(folder, found)
        for item in found:
            console.print(f"  [green]✓[/] {item.note}")
        console.print("\nIn another terminal:\n")
        for item in found:
            print(f"export STEPLINE_{item.setting}={item.url}", flush=True)  # noqa: T201
        console.print(
            "\nthen ./task migrate, and ./task api, ./task worker, ./task cron, each in its own. "
            "Ctrl-C here stops what was started here."
        )
        stop.wait()
    except SteplineError as error:
        console.print(f"[red]{error}[/]")
        return 1
    finally:
        ours = [item.service for item in found if item.service is not None]
        for service in ours:
            console.print(f"  stopping {service.name} …")
            service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
