"""Reading request bodies: at most so many bytes, counted while they come, and strict JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope

from infra.codec import loads

MAX_DEPTH = 100


class StrictRequest(Request):
    """A request whose JSON knows no NaN, no lone surrogates and no bottomless nesting."""

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        super().__init__(scope, receive)
        self._limit = limit
        self._read_so_far = 0
        self._inner_receive = self._receive
        self._receive = self._counted

    async def _counted(self) -> Message:
        message = await self._inner_receive()
        if message["type"] == "http.request":
            self._read_so_far += len(message.get("body", b""))
            if self._read_so_far > self._limit:
                raise too_large(self._limit, endless=True)
        return message

    async def json(self) -> Any:
        value = loads(await self.body())
        if nests_deeper_than(MAX_DEPTH, value):
            raise HTTPException(400, f"The body nests deeper than {MAX_DEPTH} levels.")
        return value


def nests_deeper_than(depth: int, value: Any) -> bool:
    """Level by level, without recursion."""
    level = [value]
    for _ in range(depth):
        level = [
            item
            for parent in level
            if isinstance(parent, dict | list)
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


class StrictRoute(APIRoute):
    """A route that reads its body through `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            limit: int = request.app.state.resources.settings.max_body_bytes
            declared = request.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > limit:
                raise too_large(limit)
            return await inner(StrictRequest(request.scope, request.receive, limit))

        return handle


def too_large(limit: int, *, endless: bool = False) -> HTTPException:
    """An HTTPException: it passes through FastAPI's own reading of the body. After one whose end
    is not known the connection is closed; a declared one is read past, so that its sender gets to
    see the answer."""
    headers = {"Connection": "close"} if endless else None
    return HTTPException(413, f"A body may have at most {limit} bytes.", headers=headers)
