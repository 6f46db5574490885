"""Reading request bodies: at most so many bytes, counted while they come, and strict JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope

from api.errors import ProblemError
from infra.codec import JSONDecodeError, loads


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
                raise too_large(self._limit)
        return message

    async def json(self) -> Any:
        body = await self.body()
        try:
            return loads(body)
        except JSONDecodeError as error:
            raise RequestValidationError(
                [
                    {
                        "type": "json_invalid",
                        "loc": ("body", error.pos),
                        "msg": "JSON decode error",
                        "input": {},
                        "ctx": {"error": error.msg},
                    }
                ]
            ) from error


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


def too_large(limit: int) -> ProblemError:
    return ProblemError(413, "body_too_large", f"A body may have at most {limit} bytes.")
