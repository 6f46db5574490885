"""The Lua scripts, and group commit: what is asked during one round trip goes out in the next."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio as async_redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from infra.state.redis import REDIS_ERRORS, StateUnavailable

FOLDER = Path(__file__).parent / "scripts"
NAMES = (
    "submit",
    "confirm",
    "release",
    "claim",
    "write",
    "settle",
    "end",
    "restore",
    "reserve",
)
PRELUDE = FOLDER / "_feed.lua"
TELLING = {"submit", "claim", "write", "settle", "end"}
"""Those that write events, and tell the feed of them."""
MAX_BATCH = 256

Argument = str | bytes | int | float


@dataclass(slots=True)
class _Call:
    command: tuple[Argument, ...]
    future: asyncio.Future[Any]


class ScriptRunner:
    """Runs scripts and commands in shared pipelines: concurrent callers share one round trip.

    The calls of one caller keep their order. Every call must bear being sent twice.
    """

    def __init__(self, client: async_redis.Redis) -> None:
        self._client = client
        self._sources = {name: _source(name) for name in NAMES}
        self._digests = {
            name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            for name, source in self._sources.items()
        }
        self._waiting: list[_Call] = []
        self._flusher: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._flusher is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher

    async def run(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script. Raises `StateUnavailable`; whether it took effect is then unknown."""
        return await self.command("EVALSHA", self._digests[name], len(keys), *keys, *args)

    async def command(self, *command: Argument) -> Any:
        """Run a plain command in the same pipelines."""
        # encoded here, so that a text that cannot be is its own caller's error and nobody else's
        call = _Call(tuple(map(_encoded, command)), asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name="redis-flush")
        return await call.future

    async def _flush(self) -> None:
        batch: list[_Call] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                await self._send(batch)
        except BaseException as error:  # whatever it was, nobody may wait for ever
            _fail([*batch, *self._waiting], StateUnavailable(f"the state gave up: {error!r}"))
            self._waiting.clear()
            raise
        finally:
            self._flusher = None

    async def _send(self, batch: list[_Call]) -> None:
        try:
            answers = await self._pipeline(batch)
            unknown = [isinstance(answer, NoScriptError) for answer in answers]
            if any(unknown):
                await self._load()
                # all that came after is sent again too: a caller's order holds
                first = unknown.index(True)
                answers[first:] = await self._pipeline(batch[first:])
        except REDIS_ERRORS as error:
            _fail(batch, StateUnavailable(f"Redis: {type(error).__name__}: {error}"))
            return
        for call, answer in zip(batch, answers, strict=True):
            if call.future.done():
                continue
            if isinstance(answer, ResponseError):
                call.future.set_exception(_response_error(answer))
            elif isinstance(answer, Exception):
                call.future.set_exception(StateUnavailable(f"Redis: {answer}"))
            else:
                call.future.set_result(answer)

    async def _pipeline(self, batch: list[_Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            pipeline.execute_command(*call.command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    async def _load(self) -> None:
        for source in self._sources.values():
            await self._client.script_load(source)


def _source(name: str) -> str:
    body = (FOLDER / f"{name}.lua").read_text()
    return PRELUDE.read_text() + body if name in TELLING else body


def _encoded(argument: Argument) -> Argument:
    return argument.encode() if isinstance(argument, str) else argument


def _fail(batch: list[_Call], error: Exception) -> None:
    for call in batch:
        if not call.future.done():
            call.future.set_exception(error)


UNWILLING_ERRORS = (OutOfMemoryError, ReadOnlyError)
"""The driver's own classes; it takes the code off their text."""

UNWILLING = ("LOADING", "MISCONF", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "NOREPL")


def _response_error(error: ResponseError) -> Exception:
    """Redis that will not write now is as good as away; anything else is a mistake of ours."""
    text = str(error)
    if isinstance(error, UNWILLING_ERRORS) or any(word in text for word in UNWILLING):
        return StateUnavailable(f"Redis: {text}")
    return error
