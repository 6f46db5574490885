"""Idempotency keys: one key, one task, whoever asks how often and however at once."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Literal

from infra.state.redis import translated
from infra.state.scripts import ScriptRunner
from infra.state.store import PREFIX, State

KEEP = 86_400
"""Seconds that a key is remembered."""

STALE_AFTER = 10.0
"""Seconds after which a reservation's owner is taken for dead, and its task id is used again."""

BORN = f"{PREFIX}born"

Outcome = Literal["new", "again", "busy", "done", "other_body"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What became of a request with a key: its own turn (`new`, `again`), somebody else's (`busy`),
    over (`done`), or a key that was used for something else (`other_body`)."""

    outcome: Outcome
    task_id: str


def _name(key: str) -> str:
    return f"{PREFIX}idem:{{{hashlib.sha256(key.encode()).hexdigest()[:40]}}}"


class IdempotencyKeys:
    """Keys in Redis, beside the state."""

    def __init__(self, state: State) -> None:
        self._scripts: ScriptRunner = state.scripts

    async def reserve(self, key: str, body_hash: str, task_id: str) -> Reservation:
        answer = await self._scripts.run(
            "reserve",
            [_name(key)],
            [body_hash, task_id, time.time() * 1000, STALE_AFTER * 1000, KEEP],
        )
        return Reservation(answer[0].decode(), answer[1].decode())

    async def adopt(self, key: str, task_id: str) -> None:
        """History knows the key: it belongs to that task."""
        await self._scripts.command("HSET", _name(key), "task", task_id, "state", "accepted")

    async def accepted(self, key: str) -> None:
        await self._scripts.command("HSET", _name(key), "state", "accepted")

    async def give_back(self, key: str) -> None:
        """The acceptance failed: the next request may try at once, with the same task id."""
        await self._scripts.command("HSET", _name(key), "at", "0")

    async def may_have_forgotten(self) -> bool:
        """Is this Redis younger than a key lives? Then history may know more."""
        now = time.time()
        with translated():
            await self._scripts.command("SET", BORN, str(now), "NX")
            born = await self._scripts.command("GET", BORN)
        return now - float(born or now) < KEEP
