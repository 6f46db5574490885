"""HTTP as the client's parts use it: one request or one stream, made again while it may help."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Container
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from stepline.client.patience import backoff, pause_before_repeat
from stepline.client.problems import error_of
from stepline.errors import ClientError, ConnectionFailed, InvalidAnswer, Unavailable

Model = TypeVar("Model", bound=BaseModel)

REPEATABLE = frozenset({"GET", "HEAD", "PUT", "PATCH"})
SILENCE = 45.0
"""Seconds without a byte of a stream: the server sends a heartbeat each 15 s, three are missed."""

LONGEST_FRAME = 64 * 1024 * 1024


class Transport:
    """One deployment over HTTP. `patience`: seconds that a failing request is repeated for."""

    def __init__(self, url: str, api_key: str | None, *, timeout: float, patience: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: http://… or https://…, not {url!r}")
        self.url = url.rstrip("/")
        self._place = _without_credentials(self.url)
        self.patience = patience
        headers = {"User-Agent": f"stepline-python/{version('stepline')}"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            # a connection for each stream that is watched
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def open(self) -> None:
        await self._http.__aenter__()

    async def close(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool | None = None,
        accept: Container[int] = (),
        **options: Any,
    ) -> httpx2.Response:
        """One request, repeated as `pause_before_repeat` says. Raises `APIError` for an error
        answer (but for the statuses that `accept` takes), `ConnectionFailed` for none."""
        if repeatable is None:
            repeatable = method in REPEATABLE or "Idempotency-Key" in options.get("headers", {})
        until = time.monotonic() + self.patience
        tries = 0
        while True:
            try:
                return await self._once(method, path, options, accept)
            except ClientError as failure:
                tries += 1
                left = until - time.monotonic()
                pause = pause_before_repeat(failure, repeatable=repeatable, tries=tries, left=left)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _once(
        self, method: str, path: str, options: dict[str, Any], accept: Container[int]
    ) -> httpx2.Response:
        try:
            response = await self._http.request(method, path, **options)
        except httpx2.RequestError as error:
            raise self._failed(error) from error
        if response.is_error and response.status_code not in accept:
            raise error_of(response)
        return response

    async def call(self, model: type[Model], method: str, path: str, **options: Any) -> Model:
        """A request whose answer is `model`. `body`, a model or a mapping, is sent as JSON.
        Raises `InvalidAnswer` for something else."""
        if (body := options.pop("body", None)) is not None:
            options["content"] = to_json(body)
            options["headers"] = {
                **options.get("headers", {}),
                "Content-Type": "application/json",
            }
        response = await self.request(method, path, **options)
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise InvalidAnswer(
                f"{self._place}{path}: no {model.__name__} in the answer to {method} "
                f"({error.error_count()} errors; it begins {response.text[:60]!r})"
            ) from error

    @asynccontextmanager
    async def download(self, path: str) -> AsyncIterator[httpx2.Response]:
        """An answer to be read bit by bit; errors as of `request`, but without repetition."""
        try:
            async with self._http.stream("GET", path) as response:
                if response.is_error:
                    await response.aread()
                    raise error_of(response)
                yield response
        except httpx2.RequestError as error:
            raise self._failed(error) from error

    async def frames(
        self, path: str, *, after: str | None = None, params: dict[str, str] | None = None
    ) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """A stream's events, each once. A connection that breaks or ends is made again, and goes on
        after the last event; the stream has ended when the server says so by a 204. Raises what
        stood in the way once it has been away for as long as `patience` lasts."""
        last, tries, rest = after, 0, 1.0
        away_since: float | None = None
        while True:
            failure: ClientError | None = None
            try:
                response = await self._connect(path, last, params or {})
                try:
                    if response.status_code == 204:
                        return
                    tries, away_since = 0, None
                    source = httpx2.EventSource(response, max_event_size=LONGEST_FRAME)
                    async for frame in source:
                        rest = rest if frame.retry is None else frame.retry / 1000
                        last = frame.id or last
                        if frame.data:
                            yield frame
                finally:
                    await response.aclose()
            except httpx2.RequestError as error:
                failure = self._failed(error)
                failure.__cause__ = error
                if isinstance(failure, InvalidAnswer):
                    raise failure from error
            except Unavailable as error:
                failure = error
            pause = rest  # as the server asked for, with its jitter
            if failure is not None:
                tries += 1
                pause = max(backoff(tries), getattr(failure, "retry_after", None) or 0.0)
                away_since = away_since or time.monotonic()
                if time.monotonic() + pause - away_since > self.patience:
                    raise failure
            await asyncio.sleep(pause)

    async def _connect(
        self, path: str, last: str | None, params: dict[str, str]
    ) -> httpx2.Response:
        """A stream whose answer has begun. Raises `APIError` for an error answer."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last:
            headers["Last-Event-ID"] = last
        timeout = httpx2.Timeout(10.0, read=SILENCE)
        request = self._http.build_request(
            "GET", path, headers=headers, params=params, timeout=timeout
        )
        response = await self._http.send(request, stream=True)
        if response.is_error:
            try:
                await response.aread()
            finally:
                await response.aclose()
            raise error_of(response)
        return response

    def _failed(self, error: httpx2.RequestError) -> ClientError:
        text = f"{self._place}: {type(error).__name__}: {error}".rstrip(": ")
        if isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.SSEError):
            return ConnectionFailed(text)
        return InvalidAnswer(text)


def _without_credentials(url: str) -> str:
    """For messages, which go into logs."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
