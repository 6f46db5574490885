"""Which addresses the service may fetch from: public ones, and those an operator has allowed.

The rules are an allow-list of their own, because `ipaddress.is_global` lets through multicast,
site-local, NAT64, 6to4 and IPv4-compatible addresses, each of which can lead back inside.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

from stepline.errors import Reject, Retry
from yarl import URL

from infra.settings import SettingsError

Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host name, as text. Raises `OSError` when there are none."""

_REFUSED_V4 = [
    IPv4Network(text)
    for text in (
        "168.63.129.16/32",  # Azure's platform address: metadata, on a public number
        "192.0.0.0/24",  # IETF assignments; holds another cloud's metadata (192.0.0.192)
        "192.88.99.0/24",  # 6to4 relays
    )
]
_UNICAST_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = [
    IPv6Network(text)
    for text in (
        "2001::/23",  # IETF assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_ISATAP_IDS = (0x0000_5EFE, 0x0200_5EFE)

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_CONTROL_OR_SPACE = re.compile(r"[\x00-\x20\x7f\\]")


def is_public(text: str) -> bool:
    """Whether `text` is an IP address of the open internet. False for what is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    return _is_public_v6(address)


def _is_public_v6(address: IPv6Address) -> bool:
    # What carries an IPv4 address (mapped, compatible, translated, NAT64) lies outside 2000::/3.
    if address.scope_id is not None or address not in _UNICAST_V6:
        return False
    if any(address in network for network in _REFUSED_V6):
        return False
    return int(address) >> 32 & 0xFFFF_FFFF not in _ISATAP_IDS


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver."""
    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in answers))


class AddressGuard:
    """Checks URLs, names and, as the last gate, every socket before it connects.

    `allow` holds `host:port` (`[::1]:8000` for IPv6): a name allows whatever it resolves to, an
    address allows itself. Raises `SettingsError` for an entry of another form.
    """

    def __init__(self, allow: Sequence[str] = (), *, lookup: Lookup = system_lookup) -> None:
        self._allowed = {_allow_entry(entry) for entry in allow}
        self._lookup = lookup
        self._granted: set[tuple[str, int]] = set()

    def check_url(self, text: str, base: URL | None = None) -> URL:
        """`text` as a URL that may be asked for, relative to `base` where it is a redirect.

        Raises `Reject` with code `fetch_bad_url` or `fetch_refused`. Names are not resolved here.
        """
        url = _parse(text, base)
        host, port = url.raw_host or "", url.port or 0
        literal = _literal(host)
        if literal is not None and not self._may_reach(literal, port):
            raise Reject(f"{host} is not a public address", code="fetch_refused")
        return url

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of `host`, all of them checked: one bad answer refuses the name.

        Raises `Reject` (code `fetch_refused`) or `Retry` (code `fetch_failed`).
        """
        try:
            addresses = [_canonical(answer) for answer in await self._lookup(host, port)]
        except (OSError, UnicodeError) as error:
            raise Retry(f"the name {host} cannot be resolved", code="fetch_failed") from error
        if not addresses:
            raise Retry(f"the name {host} has no address", code="fetch_failed")
        if (_plain(host), port) in self._allowed:
            self._granted.update((address, port) for address in addresses)
        elif not all(self._may_reach(address, port) for address in addresses):
            # The answer itself is not told: it would map the private network for the asker.
            raise Reject(f"{host} does not lead to a public address", code="fetch_refused")
        return addresses

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for the address in `info` (as `getaddrinfo` gives it), refused if unchecked."""
        family, kind, protocol, _, sockaddr = info
        target = (_canonical(str(sockaddr[0])), int(sockaddr[1]))
        if not (self._may_reach(*target) or target in self._granted):
            raise PermissionError(f"{target[0]} was not checked")
        return socket.socket(family=family, type=kind, proto=protocol)

    def _may_reach(self, address: str, port: int) -> bool:
        return is_public(address) or (address, port) in self._allowed


def _parse(text: str, base: URL | None) -> URL:
    # Parsers disagree on control characters and backslashes: none gets as far as a parser.
    if _CONTROL_OR_SPACE.search(text):
        raise Reject("the URL holds spaces, backslashes or control characters", code=_BAD_URL)
    try:
        url = URL(text) if base is None else base.join(URL(text))
        authority, host, port = url.authority, url.raw_host, url.port
    except (ValueError, UnicodeError) as error:
        raise Reject("this is not a URL", code=_BAD_URL) from error
    if url.scheme not in ("http", "https"):
        raise Reject("only http and https URLs are fetched", code=_BAD_URL)
    if not host or not port:
        raise Reject("the URL names no host, or no usable port", code=_BAD_URL)
    if "@" in authority or "@" in _raw_authority(text):
        raise Reject("a URL with user or password is not fetched", code="fetch_refused")
    return url.with_fragment(None)


_BAD_URL = "fetch_bad_url"


def _raw_authority(text: str) -> str:
    _, found, rest = text.partition("//")
    return re.split(r"[/?#]", rest, maxsplit=1)[0] if found else ""


def _literal(host: str) -> str | None:
    """`host` as a canonical address, None for a name. Refuses whatever some parser reads as an
    address and another one does not: octal, hex, short and decimal IPv4."""
    if ":" in host:
        try:
            return _canonical(host)
        except ValueError as error:
            raise Reject(f"{host} is not an address", code=_BAD_URL) from error
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            raise Reject(f"{host} is not a plain IPv4 address", code="fetch_refused") from error
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise Reject("the URL's host is not a host name", code=_BAD_URL)
    return None


def _canonical(address: str) -> str:
    return str(ip_address(address))


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")


def _allow_entry(entry: str) -> tuple[str, int]:
    host, separator, port = entry.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise SettingsError(f"STEPLINE_FETCH_ALLOW: {entry!r} is not of the form host:port")
    if ":" in host and not bracketed:
        raise SettingsError(f"STEPLINE_FETCH_ALLOW: write {entry!r} as [address]:port")
    try:
        return _canonical(host), int(port)
    except ValueError:
        return _plain(host), int(port)
