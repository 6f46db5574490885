"""Testing handlers without a broker, a database or a server.

`run_chain` runs a task type's handlers in order, in this process, with a context that records what
they do. Steps are retried as the engine would, but without waiting.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from stepline.authoring import (
    JSON,
    Failure,
    Fetched,
    Finished,
    Handler,
    RetryPolicy,
    StoredExport,
    TaskType,
    UserRecord,
)
from stepline.errors import Reject, Retry, SteplineError


@dataclass
class SentMail:
    """A mail that a handler handed over."""

    recipient: str
    subject: str
    text: str
    message_id: str


@dataclass
class RecordingMailer:
    """Keeps mails in the place of sending them."""

    transport: str = "outbox"
    sent: list[SentMail] = field(default_factory=list)

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        self.sent.append(SentMail(recipient, subject, text, message_id))


@dataclass
class CannedFetcher:
    """Answers from `answers` (URL → body, or an exception to raise); refuses all else."""

    answers: Mapping[str, bytes | Exception] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 10.0,
        max_bytes: int = 1_000_000,
    ) -> Fetched:
        del headers, body, timeout, max_bytes
        self.requests.append((method, url))
        if url not in self.answers:
            raise Reject(f"the test has no answer for {url}", code="fetch_refused")
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        return Fetched(url, 200, "application/octet-stream", answer, "utf-8", 0.0)


@dataclass
class MemoryExports:
    """Keeps exports as bytes, by name."""

    files: dict[str, bytes] = field(default_factory=dict)

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> StoredExport:
        data = b"".join([chunk async for chunk in chunks])
        self.files[name] = data
        digest = hashlib.sha256(data).hexdigest()
        return StoredExport(name, f"memory:{name}", len(data), digest)


@dataclass
class FixedUsers:
    """Knows the users that it was given."""

    users: Mapping[int, UserRecord] = field(default_factory=dict)

    async def get_many(self, ids: Sequence[int]) -> dict[int, UserRecord]:
        return {user_id: self.users[user_id] for user_id in ids if user_id in self.users}


@dataclass
class RecordingContext:
    """The context that a handler under test gets; what it does with it is kept."""

    task_id: str = "01900000-0000-7000-8000-000000000000"
    task_type: str = "test"
    task_name: str | None = None
    attempt: int = 1
    handler: str = "handler"
    index: int = 0
    total: int = 1
    worker: str = "worker@test:1"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    outputs: Mapping[str, JSON] = field(default_factory=dict)
    saved: JSON = None
    mailer: RecordingMailer = field(default_factory=RecordingMailer)
    fetcher: CannedFetcher = field(default_factory=CannedFetcher)
    exports: MemoryExports = field(default_factory=MemoryExports)
    users: FixedUsers = field(default_factory=FixedUsers)
    progressed: list[tuple[float, float | None, str | None]] = field(default_factory=list)
    saves: list[JSON] = field(default_factory=list)
    emitted: list[JSON] = field(default_factory=list)
    logged: list[tuple[str, dict[str, JSON]]] = field(default_factory=list)

    @property
    def idempotency_key(self) -> str:
        return f"{self.task_id}:{self.index}:{self.handler}"

    async def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None:
        self.progressed.append((current, total, message))

    async def save(self, state: JSON) -> None:
        self.saved = state
        self.saves.append(state)

    async def emit(self, data: JSON) -> None:
        self.emitted.append(data)

    async def log(self, message: str, **fields: JSON) -> None:
        self.logged.append((message, fields))


class _Blocking:
    """The same context for a plain `def` handler: coroutine methods block."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if inspect.iscoroutinefunction(value):
            return lambda *args, **named: asyncio.run_coroutine_threadsafe(
                value(*args, **named), self._loop
            ).result()
        if isinstance(value, RecordingMailer | CannedFetcher | MemoryExports | FixedUsers):
            return _Blocking(value, self._loop)
        return value


@dataclass
class ChainResult:
    """What came of a chain: its result, or its failure; each step's output and context."""

    result: JSON
    failure: Failure | None
    outputs: dict[str, JSON]
    contexts: dict[str, RecordingContext]
    skipped: list[str]
    attempts: int

    @property
    def succeeded(self) -> bool:
        return self.failure is None


async def run_chain(
    task_type: TaskType,
    payload: BaseModel | Mapping[str, JSON],
    *,
    context: RecordingContext | None = None,
    handlers: Mapping[str, Handler] | None = None,
) -> ChainResult:
    """Run a type's whole chain on `payload`.

    `context` is what each step's own context begins as: services, a name, saved state. `handlers`
    are those that the chain uses by name without bringing them. Raises `KeyError` for one that is
    missing, pydantic's `ValidationError` for a payload that is none.

    >>> from pydantic import BaseModel
    >>> from stepline import Context, handler, task_type
    >>> class Greeting(BaseModel):
    ...     name: str
    >>> @handler
    ... async def greet(ctx: Context, payload: Greeting) -> str:
    ...     return f"Hello {payload.name}"
    >>> GREET = task_type("greet", payload=Greeting, handlers=[greet])
    >>> asyncio.run(run_chain(GREET, {"name": "Ada"})).result
    'Hello Ada'
    """
    body = payload.model_dump(mode="json") if isinstance(payload, BaseModel) else dict(payload)
    model = task_type.payload.model_validate(body)
    known = {**(handlers or {}), **{item.name: item for item in task_type.handlers}}
    names = tuple(task_type.plan(model))
    run = _Run(task_type, body, names, known, context or RecordingContext())
    return await run.all()


class _Run:
    def __init__(
        self,
        task_type: TaskType,
        body: Mapping[str, JSON],
        names: tuple[str, ...],
        known: Mapping[str, Handler],
        context: RecordingContext,
    ) -> None:
        self._type = task_type
        self._body = body
        self._names = names
        self._known = known
        self._first = context
        self._outputs: dict[str, JSON] = {}
        self._contexts: dict[str, RecordingContext] = {}
        self._skipped: list[str] = []
        self._attempts = 1
        self._failures = 0

    async def all(self) -> ChainResult:
        failure = None
        for index, name in enumerate(self._names):
            failure = await self._step(index, self._known[name])
            if failure is not None:
                break
        finished = Finished(
            task_id=self._first.task_id,
            payload=self._body,
            outputs=list(self._outputs.items()),
            handlers=self._names,
            worker=self._first.worker,
            duration=0.0,
            failure=failure,
        )
        return ChainResult(
            self._type.finish(finished),
            failure,
            self._outputs,
            self._contexts,
            self._skipped,
            self._attempts,
        )

    async def _step(self, index: int, handler: Handler) -> Failure | None:
        ctx = self._context(index, handler)
        if handler.skip is not None and handler.skip(ctx):
            self._skipped.append(handler.name)
            return None
        policy: RetryPolicy = handler.retry or self._type.retry
        while True:
            try:
                self._outputs[handler.name] = await self._call(ctx, handler)
            except Exception as error:
                self._failures += 1
                if getattr(error, "output", None) is not None:
                    self._outputs[handler.name] = error.output  # type: ignore[attr-defined]
                if isinstance(error, Reject) or self._failures >= policy.attempts:
                    return _failure(error, handler.name)
                self._attempts += 1
                ctx.attempt = self._attempts
            else:
                return None

    def _context(self, index: int, handler: Handler) -> RecordingContext:
        first = self._first
        ctx = RecordingContext(
            task_id=first.task_id,
            task_type=self._type.name,
            task_name=first.task_name,
            attempt=self._attempts,
            handler=handler.name,
            index=index,
            total=len(self._names),
            worker=first.worker,
            created_at=first.created_at,
            outputs=dict(self._outputs),
            saved=first.saved,
            mailer=first.mailer,
            fetcher=first.fetcher,
            exports=first.exports,
            users=first.users,
        )
        self._contexts[handler.name] = ctx
        return ctx

    async def _call(self, ctx: RecordingContext, handler: Handler) -> JSON:
        arguments = [handler.payload.model_validate(self._body)] if handler.payload else []
        seconds = handler.timeout if handler.timeout is not None else self._type.timeout
        async with asyncio.timeout(seconds):
            if handler.is_async:
                return await handler.run(ctx, *arguments)
            blocking = _Blocking(ctx, asyncio.get_running_loop())
            return await asyncio.to_thread(handler.run, blocking, *arguments)


def _failure(error: Exception, handler: str) -> Failure:
    if isinstance(error, TimeoutError):
        return Failure("timeout", str(error), handler)
    if isinstance(error, Retry | Reject | SteplineError):
        return Failure(error.code, error.message, handler)
    return Failure("handler_error", f"{type(error).__name__}: {error}", handler)
