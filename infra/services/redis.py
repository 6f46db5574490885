"""Redis as production runs it: append-only file, no eviction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import redis

from infra.services.base import Service, find_program
from infra.services.ports import HOST, free_port


class Redis(Service):
    """A private Redis on loopback."""

    name = "Redis"
    package = "redis-server"
    programs = ("redis-server",)

    def __init__(self, folder: Path, port: int | None = None, extra: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self.port = port or free_port()
        self._extra = tuple(extra)

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """Of another of its databases than the first."""
        return redis_url(self.port, database)

    def version(self) -> str:
        return version(self.port)

    def _prepare(self) -> None:
        return None

    def _command(self) -> Sequence[str]:
        settings = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [find_program("redis-server", self.package), *options, *self._extra]

    def _answers(self) -> bool:
        return answers(self.port)


def redis_url(port: int, database: int = 0) -> str:
    return f"redis://{HOST}:{port}/{database}"


def answers(port: int) -> bool:
    """Is a Redis there that takes commands without a password?"""
    try:
        with _connect(port) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def version(port: int) -> str:
    """The version of the Redis that listens there."""
    with _connect(port) as client:
        return str(client.info("server")["redis_version"])


def _connect(port: int) -> redis.Redis:
    return redis.Redis(host=HOST, port=port, socket_timeout=1.0, socket_connect_timeout=1.0)
