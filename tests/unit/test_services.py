"""What `./task services` says when it cannot: in one sentence, with the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.services import base
from infra.services.__main__ import require_programs
from infra.services.base import ServiceFailed, ServiceMissing
from infra.services.local import LOCAL
from infra.services.redis import Redis


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with nothing on it; what is put there is installed."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(base, "SBIN", ())
    return tmp_path


def install(folder: Path, *names: str, script: str = "exit 0") -> None:
    for name in names:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


@pytest.mark.usefixtures("nothing_installed")
def test_one_sentence_names_all_packages() -> None:
    with pytest.raises(ServiceMissing) as raised:
        require_programs(LOCAL)

    assert "\n" not in str(raised.value)
    assert "apt-get install rabbitmq-server redis-server mariadb-server" in str(raised.value)


def test_only_what_is_not_there_is_named(nothing_installed: Path) -> None:
    install(nothing_installed, "redis-server", "mariadbd", "rabbitmq-server", "rabbitmqctl", "epmd")

    with pytest.raises(ServiceMissing) as raised:
        require_programs(LOCAL)

    assert str(raised.value) == (
        "mariadb-install-db not found; on Debian or Ubuntu: `apt-get install mariadb-server`"
    )


def test_a_program_beside_path_is_found(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sbin = tmp_path / "sbin"
    sbin.mkdir()
    install(sbin, "redis-server")
    assert Redis.missing() == ["redis-server"]

    monkeypatch.setattr(base, "SBIN", (str(sbin),))

    assert Redis.missing() == []


class Unreachable(Redis):
    """Asks no socket."""

    def _answers(self) -> bool:
        return False


def test_one_that_ends_at_once_fails_with_its_last_words(nothing_installed: Path) -> None:
    install(nothing_installed, "redis-server", script="echo 'no memory left'; exit 1")
    service = Unreachable(nothing_installed / "data", port=1)

    with pytest.raises(ServiceFailed, match="ended while starting:\nno memory left"):
        service.start()

    assert not service.running
