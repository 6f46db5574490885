"""Reading request bodies: at most so many bytes, counted while they come, and strict JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope

from infra.codec import loads

MAX_DEPTH = 100

CONTAINERS = frozenset({dict, list})

MANY_DIGITS = re.compile(rb"[0-9]{19}")
"""As many as the smallest integers that do not fit into 64 bits have."""


class StrictRequest(Request):
    """A request whose JSON knows no NaN, no lone surrogates, no bottomless nesting, and no integer
    that would silently become another number."""

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        super().__init__(scope, _counted(receive, limit))

    async def json(self) -> Any:
        body = await self.body()
        value = loads(body)
        if nests_deeper_than(MAX_DEPTH, value):
            raise HTTPException(400, f"The body nests deeper than {MAX_DEPTH} levels.")
        refuse_large_integers(body)
        return value


def _counted(receive: Receive, limit: int) -> Receive:
    """Receives no more than that. It knows nothing of the request that reads by it: the two would
    hold each other, and all of the connection's state, until the collector comes."""
    so_far = 0

    async def counted() -> Message:
        nonlocal so_far
        message = await receive()
        if message["type"] == "http.request":
            so_far += len(message.get("body", b""))
            if so_far > limit:
                raise too_large(limit, endless=True)
        return message

    return counted


def refuse_large_integers(text: bytes) -> None:
    """The reader of JSON makes a float of an integer beyond 64 bits: an account number sent as
    1234567890123456789012 would come back as another one. Raises an HTTPException."""
    if not MANY_DIGITS.search(text):
        return
    try:
        json.loads(text, parse_int=_must_fit)
    except RecursionError:
        raise HTTPException(400, f"The body nests deeper than {MAX_DEPTH} levels.") from None


def _must_fit(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise HTTPException(
            422,
            f"The integer {digits[:12]}… ({len(digits)} characters) does not fit into 64 bits: "
            "send it as a string.",
        )
    return int(digits)


def nests_deeper_than(depth: int, value: Any) -> bool:
    """Level by level, without recursion. Of JSON as it was read: plain lists and dicts."""
    level = [value]
    for _ in range(depth):
        level = [
            item
            for parent in level
            if type(parent) in CONTAINERS
            for item in (parent.values() if type(parent) is dict else parent)
            if type(item) in CONTAINERS
        ]
        if not level:
            return False
    return True


class StrictRoute(APIRoute):
    """A route that reads its body through `StrictRequest`."""

    def get_answer(self) -> Callable[[StrictRequest], Coroutine[Any, Any, Response]]:
        """What answers the request, once it is one that may be read."""
        return super().get_route_handler()

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = self.get_answer()
        takes_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            if takes_body and has_body(request) and not says_json(request):
                raise HTTPException(
                    415,
                    "A body is JSON: send it with `Content-Type: application/json`.",
                    headers={"Accept": "application/json"},
                )
            limit: int = request.app.state.resources.settings.max_body_bytes
            declared = request.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > limit:
                raise too_large(limit)
            return await inner(StrictRequest(request.scope, request.receive, limit))

        return handle


def has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def says_json(request: Request) -> bool:
    """`application/json`, or anything of its kind, as `application/merge-patch+json`. A page
    elsewhere can make a browser post forms and plain text here, but not these without asking."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind.startswith("application/") and kind.endswith(("/json", "+json"))


def too_large(limit: int, *, endless: bool = False) -> HTTPException:
    """An HTTPException: it passes through FastAPI's own reading of the body. After one whose end
    is not known the connection is closed; a declared one is read past, so that its sender gets to
    see the answer."""
    headers = {"Connection": "close"} if endless else None
    return HTTPException(413, f"A body may have at most {limit} bytes.", headers=headers)
