"""Locks for rounds that one process at a time shall do. They only save work: every round bears
being done twice."""

from __future__ import annotations

from infra.state.redis import Connections, translated
from infra.state.store import PREFIX

HOLD = 10
"""Seconds after which the lock of a process that died is free again."""


class Locks:
    """One process's locks."""

    def __init__(self, connections: Connections, owner: str) -> None:
        self._client = connections.client(max_connections=4)
        self._owner = owner

    async def close(self) -> None:
        await self._client.aclose()

    async def take(self, name: str) -> bool:
        """True if nobody has it."""
        with translated():
            return bool(await self._client.set(self._key(name), self._owner, nx=True, ex=HOLD))

    async def give_back(self, name: str) -> None:
        with translated():
            if await self._client.get(self._key(name)) == self._owner.encode():
                await self._client.delete(self._key(name))

    @staticmethod
    def _key(name: str) -> str:
        return f"{PREFIX}lock:{name}"
