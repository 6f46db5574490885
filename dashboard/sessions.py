"""Who is signed in: the viewer's API key stays here, the browser has a random name for it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from dashboard.live import Live
from dashboard.source import Source

COOKIE = "stepline_session"
LASTS = 12 * 3600.0
"""Seconds that a session lives after it was last used."""

MOST = 10_000


@dataclass
class Session:
    """A key, and what is asked and heard with it. Sessions of one key share both."""

    key: str | None
    source: Source
    live: Live
    used: float = field(default_factory=time.monotonic)

    @property
    def name(self) -> str | None:
        """The key's public part."""
        return None if self.key is None else self.key.partition(".")[0]


class Sessions:
    """All sessions of this process. They end with it."""

    def __init__(self, url: str, own_key: str | None) -> None:
        self._url = url
        self._named: dict[str, Session] = {}
        self._by_key: dict[str | None, tuple[Source, Live]] = {}
        self._own = own_key

    def of(self, cookie: str | None) -> Session:
        """The session of that cookie; without one, that of the dashboard's own key (or of none)."""
        session = self._named.get(cookie or "")
        if session is not None and time.monotonic() - session.used < LASTS:
            session.used = time.monotonic()
            return session
        return Session(self._own, *self._parts(self._own))

    def begin(self, key: str) -> str:
        """A new session with this key; answers the cookie."""
        oldest_good = time.monotonic() - LASTS
        self._named = {
            name: session for name, session in self._named.items() if session.used > oldest_good
        }
        while len(self._named) >= MOST:
            self._named.pop(min(self._named, key=lambda name: self._named[name].used))
        cookie = secrets.token_urlsafe(32)
        self._named[cookie] = Session(key, *self._parts(key))
        return cookie

    def end(self, cookie: str | None) -> None:
        self._named.pop(cookie or "", None)

    def _parts(self, key: str | None) -> tuple[Source, Live]:
        if key not in self._by_key:
            source = Source(self._url, key)
            self._by_key[key] = (source, Live(source))
        return self._by_key[key]

    async def close(self) -> None:
        for source, live in self._by_key.values():
            await live.close()
            await source.close()
