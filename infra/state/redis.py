"""Connections to Redis, or to a fake one inside this process, by the same URL setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import fakeredis
import redis as sync_redis
import redis.asyncio as async_redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.typing import EncodableT
from stepline.errors import SteplineError

from infra.settings import redact

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 5.0

REDIS_ERRORS = (RedisError, OSError, TimeoutError)
"""What a driver raises when Redis is away, slow or unwilling."""


class StateUnavailable(SteplineError):
    """Redis cannot be reached, or will not take writes now."""

    code = "state_unavailable"


class _Sending(async_redis.connection.AbstractConnection):
    """How ours send.

    Commands are packed by hiredis, as the blocking client does by itself: a script's call has
    hundreds of words, and to pack them in Python took a sixth of a busy worker's time. And a
    connection that is closed in mid-command is said to be that: uvloop raises a `RuntimeError`,
    which the driver lets through.
    """

    _serializer = HiredisRespSerializer()

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        packed: list[bytes] = self._serializer.pack(*args)  # type: ignore[arg-type]
        return packed

    def pack_commands(self, commands: Iterable[Iterable[EncodableT]]) -> list[bytes]:
        return [b"".join(part for command in commands for part in self.pack_command(*command))]

    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            raise RedisConnectionError(f"closed while a command was sent: {error}") from error


class _Plain(_Sending, async_redis.Connection):
    pass


class _Encrypted(_Sending, async_redis.SSLConnection):
    pass


class _Local(_Sending, async_redis.UnixDomainSocketConnection):
    pass


OURS: dict[type, type] = {
    async_redis.Connection: _Plain,
    async_redis.SSLConnection: _Encrypted,
    async_redis.UnixDomainSocketConnection: _Local,
}
"""In the place of each of the driver's kinds, by which a URL chooses."""


class Connections:
    """Makes clients for one Redis. The fake one lives as long as this object."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.embedded = url.startswith("fake:")
        self._server = fakeredis.FakeServer() if self.embedded else None
        self._keepalive = {} if url.startswith("unix:") else {"socket_keepalive": True}

    def __repr__(self) -> str:
        return f"Connections({redact(self.url)!r})"

    def client(self, *, max_connections: int = 64) -> async_redis.Redis:
        """An async client with a pool of its own; close it with `aclose()`. Whoever finds all its
        connections in use waits for one: many readers at once are no failure of Redis."""
        if self._server is not None:
            return cast(async_redis.Redis, fakeredis.FakeAsyncRedis(server=self._server))
        pool = async_redis.BlockingConnectionPool.from_url(
            self.url,
            max_connections=max_connections,
            timeout=ANSWER_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            **self._keepalive,
            retry=Retry(NoBackoff(), 1),
        )
        pool.connection_class = OURS[pool.connection_class]
        return async_redis.Redis.from_pool(pool)

    def stream_client(self) -> async_redis.Redis:
        """A client for pub/sub: it may wait for its next message for ever."""
        if self._server is not None:
            return cast(async_redis.Redis, fakeredis.FakeAsyncRedis(server=self._server))
        client: async_redis.Redis = async_redis.Redis.from_url(
            self.url, socket_connect_timeout=CONNECT_TIMEOUT, **self._keepalive
        )
        pool = client.connection_pool
        pool.connection_class = OURS[pool.connection_class]
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
