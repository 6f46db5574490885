"""The route of a submission: its endpoint takes a validated body and what accepts it.

FastAPI finds out anew for each request what an endpoint's parameters are and where they come from;
that takes longer than all that is done for the task. Here they are always the same two. To the
documentation it is a route like any other, and bad input is told in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.accept import acceptance_of
from api.body import StrictRequest, StrictRoute
from infra.codec import JSONDecodeError

MISSING = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}


class SubmitRoute(StrictRoute):
    """Of endpoints `(body, accept)`, as `AcceptanceDep` declares the second."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answer = self.get_route_handler()
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Without the two exit stacks of each request, for dependencies that there are none of.
        What is raised meets the application's handlers further out."""
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)

    def get_answer(self) -> Callable[[StrictRequest], Coroutine[Any, Any, Response]]:
        field, endpoint = self.body_field, self.endpoint
        if field is None or self.dependant.query_params or self.dependant.path_params:
            raise TypeError(f"{self.path} takes something else than a body and what accepts it")

        async def answer(request: StrictRequest) -> Response:
            value = await _json(request)
            body, errors = field.validate(value, {}, loc=("body",))
            if errors:
                raise RequestValidationError(errors, body=value)
            response: Response = await endpoint(body=body, accept=acceptance_of(request))
            return response

        return answer


async def _json(request: StrictRequest) -> Any:
    """Raises an `HTTPException` or a `RequestValidationError`."""
    try:
        if not await request.body():
            raise RequestValidationError([MISSING])
        return await request.json()
    except JSONDecodeError as error:
        problem = {
            "type": "json_invalid",
            "loc": ("body", error.pos),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": error.msg},
        }
        raise RequestValidationError([problem], body=error.doc) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The body ended before its end.") from error
