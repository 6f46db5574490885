"""Tickets: what a browser's EventSource sends in the place of a key, once, within some seconds."""

from __future__ import annotations

import hashlib
import secrets

from infra.state.redis import translated
from infra.state.scripts import ScriptRunner
from infra.state.store import PREFIX, State

LIFE = 30
"""Seconds that a ticket is good for."""


class Tickets:
    """Tickets in Redis, beside the state: any API process takes what another has given."""

    def __init__(self, state: State) -> None:
        self._scripts: ScriptRunner = state.scripts

    async def give(self, caller: str) -> str:
        """A ticket for whoever has shown the key of that name."""
        ticket = secrets.token_urlsafe(24)
        with translated():
            await self._scripts.command("SET", _name(ticket), caller, "EX", LIFE)
        return ticket

    async def take(self, ticket: str) -> str | None:
        """The name of the key that it stands for, the first time; None ever after."""
        with translated():
            caller = await self._scripts.command("GETDEL", _name(ticket))
        return None if caller is None else str(caller.decode())


def _name(ticket: str) -> str:
    return f"{PREFIX}ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
