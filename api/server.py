"""uvicorn, with an end that sends open streams away instead of waiting for them."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.wire import Wire

GRACE = 10


class Server(uvicorn.Server):
    """Calls `on_exit` as soon as the process is asked to stop. Opens and closes the app by itself:
    what cannot be opened is raised by `serve`, to be told in a sentence."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_exit = on_exit

    async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the app, serve it, close it; signals are waited for all the while."""
        async with self._app.router.lifespan_context(self._app):
            await super()._serve(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server; the process then ends by itself, with its own code."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)  # first: it takes a second SIGINT for impatience
        self._on_exit()

    def leave(self) -> None:
        """Stop serving: streams end now, requests finish."""
        self._on_exit()
        self.should_exit = True


def make_server(app: FastAPI, host: str, port: int) -> Server:
    """A server for `app`; logging is the process's own."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        loop="uvloop",
        http=Wire,
        ws="none",
        lifespan="off",  # see Server
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        backlog=2048,
    )

    def end_streams() -> None:
        resources = getattr(app.state, "resources", None)
        if resources is not None:
            resources.hub.end_all()
            resources.feed.end_all()

    return Server(config, app, end_streams)


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything is opened, so that a port in use is told at once. Port 0: a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(True)
    return bound
