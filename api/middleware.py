"""The access log: one line a request with its id, and never what a query may keep secret."""

from __future__ import annotations

import re
import time
from secrets import token_hex

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ProblemError, render
from api.keys import CALLER

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger("api.access")


class CheckHost:
    """Refuses a `Host` that is not ours: a page elsewhere may have pointed its name at us."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Headers(scope=scope).getlist("host")
            # of two, a proxy before us may have gone by the other one
            if len(given) > 1 or not self._serves(given[0] if given else ""):
                refusal = ProblemError(
                    400,
                    "bad_host",
                    "This Host is not served here; STEPLINE_ALLOWED_HOSTS admits others.",
                )
                await render(Request(scope), refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _serves(self, header: str) -> bool:
        return "*" in self._hosts or host_name(header) in self._hosts


def host_name(header: str) -> str:
    """The host without its port, an IPv6 address without its brackets."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


class RequestLog:
    """Binds `request_id` to all that is logged meanwhile, and answers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else token_hex(16)
        began = time.perf_counter()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _measure(scope, status, time.perf_counter() - began)
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            finally:
                log.debug(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    caller=scope.get(CALLER),
                    seconds=round(time.perf_counter() - began, 4),
                )


def _measure(scope: Scope, status: int, seconds: float) -> None:
    resources = getattr(scope["app"].state, "resources", None)
    if resources is not None:  # else it is still starting
        route = getattr(scope.get("route"), "path", "none")
        resources.metrics.http.labels(scope["method"], route, str(status)).observe(seconds)
