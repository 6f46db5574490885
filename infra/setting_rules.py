"""What a setting's text must be, beyond its type.

Each rule gives the value as it is to be used, or raises a `ValueError` in words that say what is
wanted, and never repeat a URL: it may hold a password.
"""

from __future__ import annotations

import re
from email.utils import parseaddr
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

QUEUE_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
RESERVED_QUEUES = frozenset({"history", "dead_letters", "scheduled"})
HOST_NAME = re.compile(r"\*|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def scheme(value: str, *allowed: str) -> str:
    """A URL of one of these schemes."""
    given, separator, _ = value.partition("://")
    if not separator or given not in allowed:
        wanted = ", ".join(f"{name}://" for name in allowed)
        raise ValueError(f"must begin with one of {wanted}")
    return value


def hosts(value: str) -> list[SplitResult]:
    """The URL once for each of its hosts, which commas part. Each has a name and a usable port."""
    head, separator, tail = value.partition("://")
    authority, slash, path = tail.partition("/")
    user, at, named = authority.rpartition("@")
    found = [
        urlsplit(f"{head}{separator}{user}{at}{host}{slash}{path}") for host in named.split(",")
    ]
    for parts in found:
        if not parts.hostname:
            raise ValueError(
                "names no host, as in scheme://user:password@host:port/ (a / or an @ in a password "
                "is written %2F or %40)"
            )
        _port(parts)
    return found


def _port(parts: SplitResult) -> None:
    try:
        parts.port  # noqa: B018 - reading it is the check
    except ValueError:
        raise ValueError(
            "its port is no port (a / or an @ in a password is written %2F or %40)"
        ) from None


def broker(value: str) -> str:
    if not scheme(value, "memory", "amqp", "amqps").startswith("memory:"):
        hosts(value)
    return value


def redis(value: str) -> str:
    if scheme(value, "fake", "redis", "rediss", "unix").startswith("redis"):
        (parts, *more) = hosts(value)
        database = parts.path.strip("/")
        if more or (database and not database.isdecimal()):
            raise ValueError("must be redis://host:port/N with one host and N a database's number")
    return value


def database(value: str) -> str:
    if scheme(value, "sqlite+aiosqlite", "mysql+aiomysql").startswith("mysql"):
        (parts, *more) = hosts(value)
        if more or not parts.path.strip("/"):
            raise ValueError(
                "must name one host and a database, as mysql+aiomysql://user:pw@host/db"
            )
    elif not value.partition("://")[2].strip("/"):
        raise ValueError("must name a file, as sqlite+aiosqlite:////absolute/path.db")
    return value


def smtp(value: str) -> str:
    (_, *more) = hosts(scheme(value, "smtp", "smtps"))
    if more:
        raise ValueError("names several hosts, where one is wanted")
    return value


def exports(value: str) -> str:
    parts = urlsplit(scheme(value, "file", "s3"))
    if parts.scheme == "s3" and not parts.netloc:
        raise ValueError("must name a bucket, as s3://bucket/prefix")
    if parts.scheme == "file" and (parts.netloc or not parts.path.strip("/")):
        raise ValueError("must be an absolute path, as file:///srv/exports")
    return value


def api_url(value: str) -> str:
    (parts, *more) = hosts(scheme(value, "http", "https"))
    if more or parts.query or parts.fragment:
        raise ValueError("must be http://host:port, where workers reach the API")
    return value


def origin(value: str) -> str:
    """As browsers send it: scheme and host, nothing after them. `*` is any."""
    parts = urlsplit(value)
    bare = f"{parts.scheme}://{parts.netloc}"
    if value != "*" and (
        parts.scheme not in ("http", "https") or not parts.netloc or bare != value
    ):
        raise ValueError(f"{value!r} is no origin: scheme and host, as https://app.company.com")
    return value


def host_name(value: str) -> str:
    """As a Host header has it, without its port."""
    name = value.lower().removeprefix("[").removesuffix("]")
    if not HOST_NAME.fullmatch(name) and not _is_ipv6(name):
        raise ValueError(f"{value!r} is no host name: without scheme and port, as app.company.com")
    return name


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def queue(value: str) -> str:
    """A work queue: never one of those that the engine itself consumes."""
    if not QUEUE_NAME.fullmatch(value) or value in RESERVED_QUEUES:
        raise ValueError(f"no work queue may be named {value!r}")
    return value


def sender(value: str) -> str:
    """`a@b` or `Name <a@b>`."""
    _, address = parseaddr(value)
    local, _, domain = address.rpartition("@")
    if not local or not domain or any(character in value for character in "\r\n\0"):
        raise ValueError("must be an address, as stepline@company.com or Stepline <it@company.com>")
    return value
