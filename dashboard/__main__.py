"""`python -m dashboard`: the dashboard as a process of its own."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from urllib.parse import urlsplit

import structlog
import uvicorn
from stepline.errors import SteplineError

from dashboard.app import Options, create_app
from dashboard.guard import LOOPBACK
from infra.leaving import leave
from infra.logging import configure_logging
from infra.settings import Settings, SettingsError, load_settings

log = structlog.get_logger(__name__)


def parse(arguments: list[str] | None, settings: Settings) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./task dashboard --", description=__doc__)
    parser.add_argument(
        "--url", default=settings.resolved_api_url, help="the API to show (STEPLINE_API_URL)"
    )
    parser.add_argument(
        "--api-key",
        default=os.environ.get("STEPLINE_API_KEY") or None,
        help="sign every viewer in with this key (STEPLINE_API_KEY); only on loopback",
    )
    parser.add_argument("--host", default=settings.dashboard_host, help="address to listen on")
    parser.add_argument("--port", type=int, default=settings.dashboard_port)
    parser.add_argument(
        "--host-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a Host header to admit besides loopback's names; `*` admits any",
    )
    parser.add_argument("--rabbitmq-url", help="RabbitMQ's own management pages, to link to")
    parser.add_argument("--read-only", action="store_true", help="show everything, change nothing")
    return parser.parse_args(arguments)


def options_of(given: argparse.Namespace) -> Options:
    """Raises `SettingsError` for what would be unsafe or cannot work."""
    if urlsplit(given.url).scheme not in ("http", "https"):
        raise SettingsError(f"--url {given.url}: begin it with http:// or https://")
    if given.host not in LOOPBACK and given.api_key:
        raise SettingsError(
            f"--api-key with --host {given.host} would let everybody who reaches this address act "
            "with that key: leave the key away, and viewers sign in with their own"
        )
    elsewhere = given.host not in LOOPBACK
    names = tuple(given.host_name) or (("*",) if elsewhere else ())
    return Options(
        url=given.url,
        api_key=given.api_key,
        read_only=given.read_only,
        sign_in=elsewhere,
        hosts=(*LOOPBACK, *names),
        rabbitmq_url=given.rabbitmq_url,
    )


def listening(host: str, port: int) -> socket.socket:
    """Bound before anything is opened, so that a port in use is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror}): set STEPLINE_DASHBOARD_PORT to "
            "another port"
        ) from error
    return bound


def main(arguments: list[str] | None = None) -> int:
    try:
        settings = load_settings()
        given = parse(arguments, settings)
        configure_logging(settings)
        config = uvicorn.Config(
            create_app(options_of(given)),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        server = uvicorn.Server(config)
        with listening(given.host, given.port) as bound:
            host, port = bound.getsockname()[:2]
            log.info("dashboard_starting", url=f"http://{host}:{port}", api=given.url)
            server.run(sockets=[bound])
    except SteplineError as error:
        print(f"stepline dashboard: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0 if server.started else 1


if __name__ == "__main__":
    leave(main())
