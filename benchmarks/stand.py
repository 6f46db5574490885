"""The services, private ones on free ports, the same for all; and a clean place on them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import redis

from infra.history.engine import make_engine
from infra.history.schema import migrate_engine
from infra.services.mariadb import MariaDB
from infra.services.rabbitmq import RabbitMQ, amqp_url
from infra.services.redis import Redis

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """A virtual host, a database, and all of Redis: empty, for one deployment."""

    broker_url: str
    redis_url: str
    mysql_port: int
    database: str
    database_url: str


@dataclass(frozen=True, slots=True)
class Stand:
    """RabbitMQ, Redis and MariaDB, which run."""

    rabbitmq: RabbitMQ
    redis: Redis
    mariadb: MariaDB

    @property
    def sessions(self) -> dict[int, str]:
        return {
            self.rabbitmq.pid: "RabbitMQ",
            self.redis.pid: "Redis",
            self.mariadb.pid: "MariaDB",
        }

    def versions(self) -> dict[str, str]:
        return {
            "RabbitMQ": self.rabbitmq.version(),
            "Redis": self.redis.version(),
            "MariaDB": self.mariadb.version(),
        }

    @contextmanager
    def place(self, *, tables: bool) -> Iterator[Place]:
        """A clean place; with the service's tables, if it is for the service."""
        name = f"bench{next(_numbers)}"
        self.rabbitmq.management("PUT", f"/api/vhosts/{name}", {})
        self.rabbitmq.management("PUT", f"/api/permissions/{name}/guest", EVERYTHING)
        self.mariadb.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        with redis.Redis.from_url(self.redis.url) as client:
            client.flushall()
        place = Place(
            amqp_url(self.rabbitmq.port, name),
            self.redis.url,
            self.mariadb.port,
            name,
            self.mariadb.url_of(name),
        )
        if tables:
            asyncio.run(_migrate(place.database_url))
        try:
            yield place
        finally:
            self.rabbitmq.management("DELETE", f"/api/vhosts/{name}")
            self.mariadb.execute(f"DROP DATABASE `{name}`")


async def _migrate(url: str) -> None:
    engine = make_engine(url)
    await migrate_engine(engine)
    await engine.dispose()


@contextmanager
def services() -> Iterator[Stand]:
    """Start all three, and stop them at the end. Their data goes with them."""
    with tempfile.TemporaryDirectory(prefix="sl-bench-") as name:
        folder = Path(name)
        stand = Stand(
            RabbitMQ(folder / "rabbitmq"), Redis(folder / "redis"), MariaDB(folder / "mariadb")
        )
        all_three = (stand.rabbitmq, stand.redis, stand.mariadb)
        with ThreadPoolExecutor(len(all_three)) as pool:
            try:
                list(pool.map(lambda service: service.start(), all_three))
                yield stand
            finally:
                list(pool.map(lambda service: service.stop(), all_three))
