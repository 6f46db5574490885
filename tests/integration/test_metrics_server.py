"""`/metrics` of workers and cron: a port for each process."""

from __future__ import annotations

import socket
from urllib.request import urlopen

import pytest

from infra import metrics_server
from infra.metrics import Metrics
from infra.metrics_server import serving_metrics
from infra.services.ports import free_port
from infra.settings import Settings, SettingsError


def test_a_process_takes_the_next_port_that_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(metrics_port=port)
        with serving_metrics(settings, Metrics()) as served:
            assert served is not None
            assert served > port
            with urlopen(f"http://127.0.0.1:{served}/metrics") as answer:
                assert b"stepline_loop_blocked_total" in answer.read()


def test_a_port_that_another_process_takes_just_then_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(metrics_server, "_is_free", lambda _host, _port: True)
        with serving_metrics(Settings(metrics_port=port), Metrics()) as served:
            assert served is not None
            assert served > port


def test_port_zero_serves_nothing() -> None:
    with serving_metrics(Settings(metrics_port=0), Metrics()) as served:
        assert served is None


def test_an_address_that_is_not_ours_is_told() -> None:
    settings = Settings(metrics_host="192.0.2.1", metrics_port=free_port())

    with (
        pytest.raises(SettingsError, match="STEPLINE_METRICS_HOST"),
        serving_metrics(settings, Metrics()),
    ):
        pass
