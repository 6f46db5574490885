"""Connections to Redis: ours, whichever kind a URL asks for."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from infra.state.redis import Connections

URLS = ("redis://h:1", "rediss://h:1", "unix:///run/redis.sock")


class Closed:
    """uvloop's transport after its end."""

    def writelines(self, _data: Any) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("url", URLS)
async def test_each_packs_by_hiredis(url: str) -> None:
    connection: Any = Connections(url).client().connection_pool.make_connection()

    packed = connection.pack_commands([("SET", "a", 1), ("GET", "a")])

    assert packed == [b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n"]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("kind", ["client", "stream_client"])
async def test_one_that_is_closed_in_mid_command_is_a_lost_one(url: str, kind: str) -> None:
    connection: Any = getattr(Connections(url), kind)().connection_pool.make_connection()
    connection._reader = connection._writer = Closed()

    with pytest.raises(RedisConnectionError):
        await connection.send_packed_command([b"PING"], check_health=False)

    assert not connection.is_connected
