"""Connections to Redis, or to a fake one inside this process, by the same URL setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import fakeredis
import redis as sync_redis
import redis.asyncio as async_redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from stepline.errors import SteplineError

from infra.settings import redact

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 5.0

REDIS_ERRORS = (RedisError, OSError, TimeoutError)
"""What a driver raises when Redis is away, slow or unwilling."""


class StateUnavailable(SteplineError):
    """Redis cannot be reached, or will not take writes now."""

    code = "state_unavailable"


class Connections:
    """Makes clients for one Redis. The fake one lives as long as this object."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.embedded = url.startswith("fake:")
        self._server = fakeredis.FakeServer() if self.embedded else None

    def __repr__(self) -> str:
        return f"Connections({redact(self.url)!r})"

    def client(self, *, max_connections: int = 64) -> async_redis.Redis:
        """An async client with a pool of its own; close it with `aclose()`."""
        if self._server is not None:
            return cast(async_redis.Redis, fakeredis.FakeAsyncRedis(server=self._server))
        client: async_redis.Redis = async_redis.Redis.from_url(
            self.url,
            max_connections=max_connections,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 1),
        )
        return client

    def stream_client(self) -> async_redis.Redis:
        """A client for pub/sub: it may wait for its next message for ever."""
        if self._server is not None:
            return cast(async_redis.Redis, fakeredis.FakeAsyncRedis(server=self._server))
        client: async_redis.Redis = async_redis.Redis.from_url(
            self.url, socket_connect_timeout=CONNECT_TIMEOUT, socket_keepalive=True
        )
        return client

    def blocking_client(self) -> sync_redis.Redis:
        """A blocking client, for the heart beat's own thread."""
        if self._server is not None:
            return cast(sync_redis.Redis, fakeredis.FakeRedis(server=self._server))
        client: sync_redis.Redis = sync_redis.Redis.from_url(
            self.url, socket_connect_timeout=CONNECT_TIMEOUT, socket_timeout=CONNECT_TIMEOUT
        )
        return client


@contextmanager
def translated() -> Iterator[None]:
    """Driver errors become `StateUnavailable`, here and nowhere else."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise StateUnavailable(f"Redis: {type(error).__name__}: {error}") from error
