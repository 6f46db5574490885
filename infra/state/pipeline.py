"""Pipelines over one connection that is kept, one after the other.

The driver's own takes a connection from its pool for each, asks it whether it still lives, and
watches the time of each answer by itself; alone, that takes longer than Redis does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import redis.asyncio as async_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from infra.state.redis import ANSWER_TIMEOUT, CONNECT_TIMEOUT

Command = Sequence[str | bytes | int | float]


class Pipeline:
    """Of one caller at a time."""

    def __init__(self, client: async_redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None

    async def close(self) -> None:
        await self._drop()

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The answers as Redis gives them, a `ResponseError` in the place of one that is one. A
        connection that has broken is made anew, once: the commands may be sent twice. Raises the
        driver's errors, and `TimeoutError` after `ANSWER_TIMEOUT` seconds."""
        try:
            return await self._exchange(commands)
        except (RedisConnectionError, OSError) as error:
            if isinstance(error, TimeoutError):  # an OSError too; once more would take as long
                raise
            return await self._exchange(commands)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        try:
            connection = self._connection or await self._connect()
            async with asyncio.timeout(ANSWER_TIMEOUT):
                packed = connection.pack_commands(commands)
                await connection.send_packed_command(packed, check_health=False)
                return [await _answer(connection) for _ in commands]
        except BaseException:  # answers may still come: they would be taken for the next ones'
            await self._drop()
            raise

    async def _connect(self) -> Any:
        connection = self._pool.make_connection()
        connection.socket_timeout = None  # `_exchange` watches the time of all together
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await connection.connect()
        self._connection = connection
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisConnectionError, OSError):
                await connection.disconnect(nowait=True)


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
