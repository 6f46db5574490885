"""The three services on the standard ports: used where they run and let us in, started where not.

A standard port that is taken by something we cannot use leaves the service another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.services import mariadb, rabbitmq, redis
from infra.services.base import Service
from infra.services.ports import free_port, is_free

AMQP, MANAGEMENT, REDIS, MYSQL = 5672, 15672, 6379, 3306


@dataclass(frozen=True, slots=True)
class Found:
    """A service that can be used: the setting it answers, its URL, and what to tell of it."""

    setting: str
    url: str
    note: str


@dataclass(frozen=True, slots=True)
class Local:
    """One kind of service: its standard port, how to find a running one, how to make our own."""

    kind: type[Service]
    setting: str
    port: int
    running: Callable[[], Found | None]
    make: Callable[[Path, int], Service]

    @property
    def package(self) -> str:
        return self.kind.package

    def own(self, folder: Path) -> Service:
        """One of our own, not started: on the standard port if that is free."""
        return self.make(folder, port_or_other(self.port))

    def started(self, service: Service) -> Found:
        note = f"{service.name} {service.version()}, started"
        if service.port != self.port:
            note += f" on {service.port}, since {self.port} is taken and does not let us in"
        if isinstance(service, rabbitmq.RabbitMQ):
            note += f"; its UI: {service.management_url} (guest / guest)"
        return Found(self.setting, service.url, note)


def running_rabbitmq() -> Found | None:
    version = rabbitmq.version(AMQP)
    if version is None:
        return None
    note = f"RabbitMQ {version}, which runs already"
    if rabbitmq.answers(MANAGEMENT):
        note += f"; its UI: http://127.0.0.1:{MANAGEMENT} (guest / guest)"
    else:
        note += f"; without a UI on {MANAGEMENT}: `rabbitmq-plugins enable rabbitmq_management`"
    return Found("BROKER_URL", rabbitmq.amqp_url(AMQP), note)


def running_redis() -> Found | None:
    if not redis.answers(REDIS):
        return None
    note = f"Redis {redis.version(REDIS)}, which runs already"
    return Found("REDIS_URL", redis.redis_url(REDIS), note)


def running_mariadb() -> Found | None:
    if not mariadb.answers(MYSQL):
        return None
    mariadb.execute(MYSQL, mariadb.create_statement(mariadb.DATABASE))
    note = f"MariaDB {mariadb.version(MYSQL)}, which runs already"
    return Found("DATABASE_URL", mariadb.database_url(MYSQL, mariadb.DATABASE), note)


def port_or_other(standard: int) -> int:
    return standard if is_free(standard) else free_port()


def own_rabbitmq(folder: Path, port: int) -> Service:
    return rabbitmq.RabbitMQ(folder, port, port_or_other(MANAGEMENT))


LOCAL = (
    Local(rabbitmq.RabbitMQ, "BROKER_URL", AMQP, running_rabbitmq, own_rabbitmq),
    Local(redis.Redis, "REDIS_URL", REDIS, running_redis, redis.Redis),
    Local(mariadb.MariaDB, "DATABASE_URL", MYSQL, running_mariadb, mariadb.MariaDB),
)
