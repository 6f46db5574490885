"""HTTP to the outside world: guarded against reaching inside, capped in size, time and redirects.

Rebinding has no opening: a name is resolved once, by `AddressGuard`; aiohttp connects to the
addresses that were checked then; and each socket is checked again before it connects. aiohttp's
DNS cache, environment proxies, cookies and own redirects are all off.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from stepline.authoring import Fetched
from stepline.errors import Reject, Retry
from yarl import URL

from infra.fetch_body import ACCEPT_ENCODING, fit_charset, read_capped
from infra.fetch_guard import AddressGuard, Lookup, system_lookup

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECTIONS = 200

_NEVER_FROM_CALLER = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
)
_CROSSES_ORIGINS = frozenset(
    {"accept", "accept-language", "content-type", "user-agent", "webhook-id", "webhook-timestamp"}
)
"""Headers that a redirect to another origin may carry along: none that could be a credential."""


@dataclass(frozen=True, slots=True)
class _Hop:
    """One request of the few that a fetch may take."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None


class GuardedFetcher:
    """The service's `Fetcher`. Use between `open` and `close`, or as an async context manager.

    `allow` names private `host:port` that may be reached all the same; `lookup` replaces the
    system's resolver.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        lookup: Lookup = system_lookup,
        user_agent: str = "Stepline",
    ) -> None:
        self._guard = AddressGuard(allow, lookup=lookup)
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(self._guard),
            socket_factory=self._guard.open_socket,
            use_dns_cache=False,
            limit=_CONNECTIONS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": self._user_agent, "Accept-Encoding": ACCEPT_ENCODING},
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 10.0,
        max_bytes: int = 1_000_000,
    ) -> Fetched:
        """One HTTP exchange; see `stepline.authoring.Fetcher`. `timeout` in seconds spans all of
        it: name, connection, redirects and body.

        Also raises `Reject` with code `fetch_too_many_redirects` after more than three.
        """
        first = _Hop(
            method=method.upper(),
            url=self._guard.check_url(url),
            headers={
                name: value
                for name, value in (headers or {}).items()
                if name.lower() not in _NEVER_FROM_CALLER
            },
            body=body,
        )
        host = first.url.host
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(first, max_bytes)
        except TimeoutError as error:
            raise Retry(f"{host} did not answer within {timeout:g} s", code=_TIMEOUT) from error
        except aiohttp.InvalidURL as error:
            raise Reject("this is not a URL", code="fetch_bad_url") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error)[:300] or type(error).__name__
            raise Retry(f"fetching from {host} failed: {reason}", code="fetch_failed") from error

    async def _follow(self, hop: _Hop, max_bytes: int) -> Fetched:
        started = time.monotonic()
        for _ in range(MAX_REDIRECTS + 1):
            async with self._send(hop) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    return await _read(response, hop.url, max_bytes, started)
            hop = _redirected(hop, self._guard.check_url(location, hop.url), response.status)
        raise Reject(
            f"more than {MAX_REDIRECTS} redirects, the last to {hop.url.host}",
            code="fetch_too_many_redirects",
        )

    def _send(self, hop: _Hop) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        return self._session.request(
            hop.method, hop.url, headers=hop.headers, data=hop.body, allow_redirects=False
        )


_TIMEOUT = "fetch_timeout"


def _redirected(hop: _Hop, url: URL, status: int) -> _Hop:
    """The next request. Only 303 turns a method into GET: a POST that a 301 sends from http to
    https would otherwise arrive as a GET, and count as delivered."""
    headers = dict(hop.headers)
    if url.origin() != hop.url.origin():
        headers = {
            name: value for name, value in headers.items() if name.lower() in _CROSSES_ORIGINS
        }
    if status != 303 or hop.method in ("GET", "HEAD"):
        return replace(hop, url=url, headers=headers)
    headers = {
        name: value for name, value in headers.items() if not name.lower().startswith("content-")
    }
    return _Hop(method="GET", url=url, headers=headers, body=None)


async def _read(
    response: aiohttp.ClientResponse, url: URL, max_bytes: int, started: float
) -> Fetched:
    encoding = response.headers.get("Content-Encoding", "")
    if not encoding and response.method != "HEAD" and (response.content_length or 0) > max_bytes:
        raise Reject(f"the answer is larger than {max_bytes} bytes", code="fetch_too_large")
    body = await read_capped(response.content.iter_any(), encoding, max_bytes)
    return Fetched(
        url=str(url),
        status_code=response.status,
        content_type=response.content_type,
        body=body,
        charset=fit_charset(response.charset),
        response_time=time.monotonic() - started,
    )


class _GuardedResolver(AbstractResolver):
    """Gives aiohttp the checked addresses, and so nothing else to connect to."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._guard.resolve(host, port)
        ]

    async def close(self) -> None:
        """Holds nothing."""
