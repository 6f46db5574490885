"""API keys: `name.secret` for clients; here only the secret's hash is known.

`python -m api.keys NAME` makes a key, and the line for `STEPLINE_API_KEYS`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import structlog
from fastapi import Request
from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ProblemError, from_unavailable, render
from infra.settings import SettingsError
from infra.state.redis import StateUnavailable
from infra.state.tickets import Tickets

CALLER = "stepline.caller"
"""Where the access log finds whose key it was."""

OPEN_PATHS = frozenset({"/health/live", "/health/ready"})
NAME = re.compile(r"[A-Za-z0-9_-]{1,50}")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that may call: its name, the SHA-256 of its secret, the last day it is good for."""

    name: str
    digest: str
    expires: date | None = None


def parse_keys(entries: Iterable[str]) -> tuple[ApiKey, ...]:
    """`name:sha256[:YYYY-MM-DD]` each. Raises `SettingsError`."""
    keys = []
    for entry in entries:
        name, _, rest = entry.partition(":")
        digest, _, day = rest.partition(":")
        if not (NAME.fullmatch(name) and DIGEST.fullmatch(digest)):
            raise SettingsError(
                f"STEPLINE_API_KEYS: the entry of {name[:50]!r} is not name:sha256[:YYYY-MM-DD]; "
                "make one with `./task key -- NAME`"
            )
        try:
            expires = date.fromisoformat(day) if day else None
        except ValueError:
            raise SettingsError(
                f"STEPLINE_API_KEYS: the key {name!r} expires on {day!r}, which is no date"
            ) from None
        keys.append(ApiKey(name, digest, expires))
    return tuple(keys)


def hash_secret(secret: str) -> str:
    """A long random secret needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_key(keys: Iterable[ApiKey], given: str, today: date) -> ApiKey | None:
    """The key that `given` is, if it is good today. Takes the same time whichever it is."""
    name, _, secret = given.partition(".")
    digest = hash_secret(secret)
    found = None
    for key in keys:
        same_name = hmac.compare_digest(key.name.encode(), name.encode())
        same_secret = hmac.compare_digest(key.digest, digest)
        if same_name and same_secret and (key.expires is None or today <= key.expires):
            found = key
    return found


class RequireKey:
    """Refuses every request without a key, but those of an orchestrator."""

    def __init__(self, app: ASGIApp, keys: tuple[ApiKey, ...]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or _is_preflight(scope):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope)
        except StateUnavailable as error:
            await render(Request(scope), from_unavailable(error))(scope, receive, send)
            return
        if caller is None:
            refusal = ProblemError(
                401,
                "unauthorized",
                "Send a key as `Authorization: Bearer name.secret` or `X-API-Key: name.secret`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await render(Request(scope), refusal)(scope, receive, send)
            return
        scope[CALLER] = caller
        with structlog.contextvars.bound_contextvars(caller=caller):
            await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> str | None:
        """The name of the key that was given, or that a ticket stands for."""
        key = find_key(self._keys, given_key(Headers(scope=scope)), datetime.now(UTC).date())
        if key is not None:
            return key.name
        ticket = QueryParams(scope["query_string"]).get("ticket")
        if ticket is None or scope["method"] != "GET" or not scope["path"].endswith("/events"):
            return None
        return await Tickets(scope["app"].state.resources.state).take(ticket)


def _is_preflight(scope: Scope) -> bool:
    """A browser asks before it may send a key."""
    return scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope)


def given_key(headers: Headers) -> str:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key", "").strip()


def main() -> int:
    if len(sys.argv) != 2 or not NAME.fullmatch(sys.argv[1]):
        print("usage: ./task key -- NAME   (letters, digits, _ and -)", file=sys.stderr)  # noqa: T201
        return 2
    name, secret = sys.argv[1], secrets.token_urlsafe(32)
    print(f"for the client, shown only now:  {name}.{secret}")  # noqa: T201
    print(f"for STEPLINE_API_KEYS:           {name}:{hash_secret(secret)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
