"""Ports for what is to listen on this machine, with nobody in between.

The system's own choice (`bind` to 0) is of the range that outgoing connections have theirs from:
between asking for such a port and listening on it, which takes RabbitMQ seconds, it may be given
to a connection. So ours lie outside that range, and are kept from other processes that ask here.
"""

from __future__ import annotations

import atexit
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
LOWEST = 15_000
"""Below, services have their standard ports."""
HIGHEST = 65_535
TRIED = 1_000
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
OUTGOING_ELSEWHERE = (49_152, HIGHEST)
"""What IANA sets apart, and systems without that file use."""

_kept: list[socket.socket] = []


@atexit.register
def _let_go() -> None:
    """The system would, and Python would complain of each that it finds open."""
    for mark in _kept:
        mark.close()
    _kept.clear()


def free_port() -> int:
    """A port that nobody listens on, and that nobody else is given while this process lives.

    Raises `OSError` if none of a thousand is free.
    """
    first, last = _range()
    for _ in range(TRIED):
        port = random.randint(first, last)
        if _keep(port):
            if is_free(port):
                return port
            _kept.pop().close()
    raise OSError(f"no free port between {first} and {last}: is another program using them all?")


def is_free(port: int) -> bool:
    """Does nobody listen there now?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _keep(port: int) -> bool:
    """Say that the port is ours: with a UDP socket of the same number, which hinders no TCP server
    and ends with the process."""
    mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        mark.bind((HOST, port))
    except OSError:
        mark.close()
        return False
    _kept.append(mark)
    return True


def _range() -> tuple[int, int]:
    """The wider side of the outgoing ports; all, where those leave no room."""
    low, high = _outgoing()
    below, above = (LOWEST, low - 1), (high + 1, HIGHEST)
    first, last = max(below, above, key=lambda side: side[1] - side[0])
    return (first, last) if last - first >= TRIED else (LOWEST, HIGHEST)


def _outgoing() -> tuple[int, int]:
    try:
        low, high = OUTGOING.read_text().split()
    except OSError:
        return OUTGOING_ELSEWHERE
    return int(low), int(high)
