"""The Lua scripts, and group commit: what is asked during one round trip goes out in the next.

Calls of one script that wait in a row become one: it runs once, for each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Coroutine, Iterator, Sequence
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
"""Commands, and runs of scripts, of one round trip."""
MAX_TOGETHER = 64
"""Runs that go out as one: Redis does nothing else meanwhile."""

Argument = str | bytes | int | float

Words = tuple[Sequence[str], Sequence[Argument]]
"""The keys and the arguments of a script's run."""


@dataclass(slots=True)
class _Call:
    """A script to run once or several times, or (without one) a plain command as the arguments."""

    script: str | None
    runs: Sequence[Words]
    future: asyncio.Future[Any]
    several: bool = False
    """Its answer is a list, with one for each run."""

    def answer(self, answers: Sequence[Any]) -> None:
        """One for each run."""
        if self.future.done():
            return
        for answer in answers:
            if isinstance(answer, ResponseError):
                self.future.set_exception(_response_error(answer))
                return
            if isinstance(answer, Exception):
                self.future.set_exception(StateUnavailable(f"Redis: {answer}"))
                return
        self.future.set_result(answers if self.several else answers[0])


@dataclass(slots=True)
class _Command:
    """What goes over the wire at once: a plain command, or the calls of one script in a row."""

    calls: list[_Call]
    runs: int

    def answer(self, answer: Any) -> None:
        """To each call its own."""
        if self.calls[0].script is None or isinstance(answer, Exception):
            answer = [answer] * self.runs
        place = 0
        for call in self.calls:
            call.answer(answer[place : place + len(call.runs)])
            place += len(call.runs)


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
        return self._wait_for(
            _Call(name, ((keys, args),), asyncio.get_running_loop().create_future())
        )

    def run_all(self, name: str, runs: Sequence[Words]) -> Coroutine[Any, Any, list[Any]]:
        """Run a script several times in a row; each run has its own answer. It goes out with what
        was asked before, also if it is awaited later. Raises as `run` if any of them did."""
        create_future = asyncio.get_running_loop().create_future
        return _joined(
            [
                self._wait_for(
                    _Call(name, runs[start : start + MAX_TOGETHER], create_future(), several=True)
                )
                for start in range(0, len(runs), MAX_TOGETHER)
            ]
        )

    def _wait_for(self, call: _Call) -> asyncio.Future[Any]:
        self._waiting.append(call)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name="redis-flush")
        return call.future

    async def _flush(self) -> None:
        batch: list[_Call] = []
        try:
            while self._waiting:
                batch = self._take()
                await self._send(batch)
        except BaseException as error:  # whatever it was, nobody may wait for ever
            _fail([*batch, *self._waiting], StateUnavailable(f"the state gave up: {error!r}"))
            self._waiting.clear()
            raise
        finally:
            self._flusher = None

    def _take(self) -> list[_Call]:
        """What goes next: at least one, whatever it is."""
        count = runs = 0
        for call in self._waiting:
            runs += len(call.runs)
            if count and runs > MAX_BATCH:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

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
        for command, answer in zip(commands, answers, strict=True):
            command.answer(answer)

    async def _run(self, commands: Sequence[_Command]) -> list[Any]:
        return await self._pipeline.run([self._words(command) for command in commands])

    def _words(self, command: _Command) -> Sequence[Argument]:
        name = command.calls[0].script
        if name is None:
            return command.calls[0].runs[0][1]
        runs = [run for call in command.calls for run in call.runs]
        all_keys = [key for keys, _ in runs for key in keys]
        words: list[Argument] = ["EVALSHA", self._digests[name], len(all_keys), *all_keys]
        words.append(len(runs))
        for keys, args in runs:
            words += (len(keys), len(args))
        for _, args in runs:
            words += args
        return words

    async def _load(self) -> None:
        loads = [("SCRIPT", "LOAD", source) for source in self._sources.values()]
        for answer in await self._pipeline.run(loads):
            if isinstance(answer, ResponseError):
                raise answer


async def _joined(parts: Sequence[asyncio.Future[Any]]) -> list[Any]:
    return [answer for answers in await asyncio.gather(*parts) for answer in answers]


def _source(name: str) -> str:
    body = (FOLDER / f"{name}.lua").read_text()
    prelude = PRELUDE.read_text() if name in TELLING else "local close = nil\n"
    return f"{prelude}local function call(KEYS, ARGV)\n{body}end\n{EACH.read_text()}"


def _together(batch: Sequence[_Call]) -> Iterator[_Command]:
    """In the order of the calls: those of one script in a row, and each plain command."""
    row: list[_Call] = []
    runs = 0
    for call in batch:
        same = row and call.script is not None and call.script == row[0].script
        if row and not (same and runs + len(call.runs) <= MAX_TOGETHER):
            yield _Command(row, runs)
            row, runs = [], 0
        row.append(call)
        runs += len(call.runs)
    if row:
        yield _Command(row, runs)


def _can_be_sent(call: _Call) -> bool:
    """A text that is none is its own caller's error, and nobody else's."""
    try:
        for keys, args in call.runs:
            for item in (*keys, *args):
                if isinstance(item, str):
                    item.encode()
    except UnicodeEncodeError as error:
        _fail([call], error)
        return False
    return True


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
