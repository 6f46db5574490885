"""A port for something to be started is nobody else's until that listens."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.services import ports
from infra.services.ports import HOST, free_port, is_free


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    """The ports that a test was given are no longer kept after it."""
    before = len(ports._kept)
    yield
    while len(ports._kept) > before:
        ports._kept.pop().close()


def outgoing(monkeypatch: pytest.MonkeyPatch, folder: Path, low: int, high: int) -> None:
    file = folder / "ip_local_port_range"
    file.write_text(f"{low}\t{high}\n")
    monkeypatch.setattr(ports, "OUTGOING", file)


def test_one_can_listen_there() -> None:
    port = free_port()

    with socket.create_server((HOST, port)):
        assert not is_free(port)
    assert is_free(port)


def test_no_port_is_given_twice() -> None:
    given = [free_port() for _ in range(200)]

    assert len(set(given)) == len(given)


def test_another_process_is_not_given_it() -> None:
    port = free_port()
    code = f"from infra.services import ports; print(ports._keep({port}))"

    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert asked.stdout == "False\n"


@pytest.mark.parametrize(
    ("low", "high", "first", "last"),
    [
        (32_768, 60_999, 15_000, 32_767),
        (10_000, 50_000, 50_001, 65_535),
        (1_024, 65_535, 15_000, 65_535),
    ],
)
def test_outgoing_connections_have_other_ports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, low: int, high: int, first: int, last: int
) -> None:
    outgoing(monkeypatch, tmp_path, low, high)

    assert ports._range() == (first, last)
    assert first <= free_port() <= last


def test_a_system_that_does_not_say_has_the_ports_of_the_standard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ports, "OUTGOING", tmp_path / "not there")

    assert ports._range() == (15_000, 49_151)


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    ports._kept.pop().close()
    monkeypatch.setattr(ports, "_range", lambda: (first, first + 3))
    with ExitStack() as held:
        for port in range(first, first + 3):
            if is_free(port):
                held.enter_context(socket.create_server((HOST, port)))

        assert free_port() == first + 3


def test_where_none_is_free_the_error_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_range", lambda: (port, port))

        with pytest.raises(OSError, match=f"no free port between {port} and {port}"):
            free_port()
