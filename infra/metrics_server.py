"""`/metrics` of a process that serves nothing else."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import start_http_server

from infra.metrics import Metrics
from infra.settings import Settings, SettingsError

PORTS_TRIED = 50
"""Several processes on one machine each take the next free port."""

log = structlog.get_logger(__name__)


@contextmanager
def serving_metrics(settings: Settings, metrics: Metrics) -> Iterator[int | None]:
    """Serve while the context lasts; gives the port, or None where it is turned off."""
    first = settings.metrics_port
    if not first:
        yield None
        return
    for port in range(first, min(first + PORTS_TRIED, 65_536)):
        if not _is_free(settings.metrics_host, port):
            continue
        try:
            server, thread = start_http_server(
                port, addr=settings.metrics_host, registry=metrics.registry
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue  # another process of ours was a moment quicker
        log.info("metrics_served", host=settings.metrics_host, port=port)
        try:
            yield port
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5.0)
        return
    log.warning("metrics_not_served", first_port=first, tried=PORTS_TRIED)
    yield None


def _is_free(host: str, port: int) -> bool:
    """Asked before, since a server that cannot bind leaves its socket open."""
    try:
        socket.create_server((host, port), family=_family(host)).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise SettingsError(
            f"cannot serve metrics on {host}:{port} ({error.strerror}): set "
            "STEPLINE_METRICS_HOST and STEPLINE_METRICS_PORT, or the port to 0 for none"
        ) from error
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
