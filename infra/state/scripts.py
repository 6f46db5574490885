"""The Lua scripts, and group commit: what is asked during one round trip goes out in the next.

Calls of one script that wait in a row become one: it runs once, for each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio as async_redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from infra.state.pipeline import Pipeline
from infra.state.redis import REDIS_ERRORS, StateUnavailable

FOLDER = Path(__file__).parent / "scripts"
NAMES = (
    "submit",
    "forget",
    "release",
    "advance",
    "claim",
    "write",
    "settle",
    "end",
    "restore",
    "reserve",
    "control",
    "expire",
)
PRELUDE = FOLDER / "_feed.lua"
EACH = FOLDER / "_each.lua"
TELLING = {"submit", "claim", "write", "settle", "end"}
"""Those that write events, and tell the feed of them."""
MAX_BATCH = 256
MAX_TOGETHER = 64
"""Calls that one run of a script takes: Redis does nothing else meanwhile."""

Argument = str | bytes | int | float


@dataclass(slots=True)
class _Call:
    """A call of a script, or (without one) a plain command as its `args`."""

    script: str | None
    keys: Sequence[str]
    args: Sequence[Argument]
    future: asyncio.Future[Any]


@dataclass(slots=True)
class _Command:
    """What goes over the wire at once: a plain command, or the calls of one script in a row."""

    calls: list[_Call]

    def answers(self, answer: Any) -> Sequence[Any]:
        """The answer of each call."""
        if self.calls[0].script is None or isinstance(answer, Exception):
            return [answer] * len(self.calls)
        return answer  # type: ignore[no-any-return]


class ScriptRunner:
    """Runs scripts and commands in shared pipelines: concurrent callers share one round trip.

    The calls of one caller keep their order. Every call must bear being sent twice.
    """

    def __init__(self, client: async_redis.Redis) -> None:
        self._pipeline = Pipeline(client)
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
        await self._pipeline.close()

    async def run(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run a script. Raises `StateUnavailable`; whether it took effect is then unknown."""
        return await self.call(name, keys, args)

    async def command(self, *command: Argument) -> Any:
        """Run a plain command in the same pipelines."""
        return await self.call(None, (), command)

    def call(
        self, name: str | None, keys: Sequence[str], args: Sequence[Argument]
    ) -> asyncio.Future[Any]:
        """As `run`, for a caller with several to wait for."""
        call = _Call(name, keys, args, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name="redis-flush")
        return call.future

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
        commands = list(_together(batch))
        try:
            answers = await self._run(commands)
            unknown = [isinstance(answer, NoScriptError) for answer in answers]
            if any(unknown):
                await self._load()
                # all that came after is sent again too: a caller's order holds
                first = unknown.index(True)
                answers[first:] = await self._run(commands[first:])
        except UnicodeEncodeError:  # nothing was sent
            sound = [call for call in batch if _can_be_sent(call)]
            if len(sound) == len(batch):
                raise
            await self._send(sound)
            return
        except REDIS_ERRORS as error:
            _fail(batch, StateUnavailable(f"Redis: {type(error).__name__}: {error}"))
            return
        for command, together in zip(commands, answers, strict=True):
            for call, answer in zip(command.calls, command.answers(together), strict=True):
                _resolve(call, answer)

    async def _run(self, commands: Sequence[_Command]) -> list[Any]:
        return await self._pipeline.run([self._words(command) for command in commands])

    def _words(self, command: _Command) -> Sequence[Argument]:
        calls, name = command.calls, command.calls[0].script
        if name is None:
            return calls[0].args
        keys = [key for call in calls for key in call.keys]
        words: list[Argument] = ["EVALSHA", self._digests[name], len(keys), *keys, len(calls)]
        for call in calls:
            words += (len(call.keys), len(call.args))
        for call in calls:
            words += call.args
        return words

    async def _load(self) -> None:
        loads = [("SCRIPT", "LOAD", source) for source in self._sources.values()]
        for answer in await self._pipeline.run(loads):
            if isinstance(answer, ResponseError):
                raise answer


def _source(name: str) -> str:
    body = (FOLDER / f"{name}.lua").read_text()
    prelude = PRELUDE.read_text() if name in TELLING else "local close = nil\n"
    return f"{prelude}local function call(KEYS, ARGV)\n{body}end\n{EACH.read_text()}"


def _together(batch: Sequence[_Call]) -> Iterator[_Command]:
    """In the order of the calls: those of one script in a row, and each plain command."""
    run: list[_Call] = []
    for call in batch:
        same = run and call.script is not None and call.script == run[0].script
        if run and not (same and len(run) < MAX_TOGETHER):
            yield _Command(run)
            run = []
        run.append(call)
    if run:
        yield _Command(run)


def _can_be_sent(call: _Call) -> bool:
    """A text that is none is its own caller's error, and nobody else's."""
    try:
        for item in (*call.keys, *call.args):
            if isinstance(item, str):
                item.encode()
    except UnicodeEncodeError as error:
        _fail([call], error)
        return False
    return True


def _resolve(call: _Call, answer: Any) -> None:
    if call.future.done():
        return
    if isinstance(answer, ResponseError):
        call.future.set_exception(_response_error(answer))
    elif isinstance(answer, Exception):
        call.future.set_exception(StateUnavailable(f"Redis: {answer}"))
    else:
        call.future.set_result(answer)


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
