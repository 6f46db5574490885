"""`python -m api`: the API as a process of its own."""

from __future__ import annotations

import sys

import structlog
import uvloop
from stepline.errors import SteplineError

from api.app import api_app
from api.server import listen, make_server
from infra.leaving import leave
from infra.limits import raise_open_files
from infra.logging import configure_logging
from infra.settings import SettingsError, load_settings

log = structlog.get_logger(__name__)


def main() -> int:
    try:
        settings = load_settings()
        settings.require_shared("./task api")
        settings.require_safe_address()
        configure_logging(settings)
        raise_open_files()
        try:
            bound = listen(settings.api_host, settings.api_port)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {settings.api_host}:{settings.api_port} ({error.strerror}): set "
                "STEPLINE_API_PORT to another port"
            ) from error
        with bound:
            host, port = bound.getsockname()[:2]
            server = make_server(api_app(settings), host, port)
            log.info("api_starting", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs")
            uvloop.run(server.serve(sockets=[bound]))
    except SteplineError as error:
        print(f"stepline api: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0 if server.started else 1


if __name__ == "__main__":
    leave(main())
