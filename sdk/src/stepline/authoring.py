"""What the author of a handler imports: declare steps and task types without an app.

    from stepline.authoring import Context, handler, task_type

    @handler(timeout=30)
    async def greet(ctx: Context, payload: Greeting) -> dict[str, str]:
        return {"text": f"Hello {payload.name}"}

    GREET = task_type("greet", payload=Greeting, handlers=[greet])

A handler is `async def` (it runs on the event loop) or plain `def` (it runs in a thread). Its
second parameter, if it has one, is the task's payload, validated into the model that the parameter
is annotated with. What it returns is JSON-able: it becomes the step's checkpoint, and the handlers
after it find it in `ctx.outputs`.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias, overload

from pydantic import BaseModel

TYPE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

JSON: TypeAlias = Any
"""None, bool, int, finite float, str, and lists and str-keyed dicts of these."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a failing step is tried again.

    `attempts` counts the first try too. The wait before try n + 1 is drawn evenly from
    0 … min(cap, base · 2^(n-1)) seconds (full jitter), so that many failures do not return at once.

    Examples:
        >>> RetryPolicy(attempts=10, base=0.5, cap=60)
        RetryPolicy(attempts=10, base=0.5, cap=60)
    """

    attempts: int = 4
    base: float = 1.0
    cap: float = 300.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base < 0 or self.cap < 0:
            raise ValueError("RetryPolicy needs attempts >= 1, base >= 0 and cap >= 0")


class Mailer(Protocol):
    """Sends one mail by SMTP, or writes it to the outbox folder."""

    transport: str
    """`smtp` or `outbox`."""

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        """Hand the mail over. Raises `Retry` for a transient refusal, `Reject` for a final one.

        `message_id` is without angle brackets; the same id means the same mail.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """An HTTP answer: the decoded body, its size on the wire's far side, seconds it took."""

    url: str
    status_code: int
    content_type: str
    body: bytes
    charset: str
    response_time: float


class Fetcher(Protocol):
    """HTTP that refuses private addresses, caps size and time, and follows redirects safely."""

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
        """Any HTTP status is an answer. Raises `Reject` (code `fetch_refused`, `fetch_too_large`,
        `fetch_bad_url`) or `Retry` (code `fetch_timeout`, `fetch_failed`)."""
        ...


@dataclass(frozen=True, slots=True)
class StoredExport:
    """A finished export: its name in the store, where it lies, size in bytes, hex digest."""

    name: str
    location: str
    size_bytes: int
    sha256: str


class Exports(Protocol):
    """The exports store: files by default, object storage by URL."""

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> StoredExport:
        """Stream `chunks` under `name`, whole or not at all; the same name is replaced."""
        ...


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A row of the users table."""

    id: int
    username: str
    email: str
    created_at: datetime


class Users(Protocol):
    """The users that `batch` works on."""

    async def get_many(self, ids: Sequence[int]) -> dict[int, UserRecord]:
        """The users among `ids` that exist, by id."""
        ...


class Context(Protocol):
    """What a running step knows and can do. Coroutine methods are for `async def` handlers;
    a plain `def` handler gets the same methods as plain, blocking ones.

    Examples:
        >>> @handler
        ... async def count(ctx: Context) -> int:
        ...     await ctx.progress(1, 2, "half of it")
        ...     return ctx.attempt
    """

    task_id: str
    task_type: str
    task_name: str | None
    attempt: int
    """Claims of this task by a worker so far, from 1."""
    handler: str
    index: int
    """This step's place in the chain, from 0."""
    total: int
    """Steps in the chain."""
    worker: str
    created_at: datetime
    payload: Any
    """The task's payload, as the model of its type: for conditions (`skip`), and for steps that
    take no second parameter."""
    outputs: Mapping[str, JSON]
    """What the earlier steps returned, by handler name, in order (of a name that comes twice,
    the later)."""
    saved: JSON
    """What this step passed to `save` before it was interrupted, or None."""
    idempotency_key: str
    """`task:index:handler`, the same in every attempt: give it to whatever has effects."""
    mailer: Mailer
    fetcher: Fetcher
    exports: Exports
    users: Users

    async def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell how far this step is. From a hot loop this is cheap: it is coalesced to ten events
        a second, and the last value always arrives."""
        ...

    async def save(self, state: JSON) -> None:
        """Keep `state` for a later attempt at this same step, which finds it in `saved`."""
        ...

    async def emit(self, data: JSON) -> None:
        """Stream a piece of output to whoever watches (`step.output`), in order, replayable; at
        most 8 MB in all: more ends the task with the code `output_too_large`."""
        ...

    async def log(self, message: str, **fields: JSON) -> None:
        """Write a line that whoever watches sees (`log`)."""
        ...


@dataclass(frozen=True, slots=True)
class Handler:
    """One declared step.

    Examples:
        >>> @handler(timeout=30)
        ... async def greet(ctx: Context) -> str:
        ...     return "Hello"
        >>> greet.name, greet.timeout, greet.is_async
        ('greet', 30, True)
    """

    name: str
    run: Callable[..., Any]
    payload: type[BaseModel] | None = None
    timeout: float | None = None
    """Seconds a single run may take; None takes the task type's."""
    retry: RetryPolicy | None = None
    """None takes the task type's."""
    skip: Callable[[Any], bool] | None = None
    """Given the context before the step begins; true leaves the step out."""
    description: str = ""

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.run)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


@overload
def handler(run: Callable[..., Any], /) -> Handler: ...
@overload
def handler(
    *,
    name: str | None = None,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    skip: Callable[[Context], bool] | None = None,
) -> Callable[[Callable[..., Any]], Handler]: ...
def handler(
    run: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    skip: Callable[[Context], bool] | None = None,
) -> Handler | Callable[[Callable[..., Any]], Handler]:
    """Declare a function as a handler; its name is the function's unless given.

    `timeout` in seconds and `retry` stand in for the task type's; a step whose `skip` says true is
    left out, and has no output.

    Examples:
        >>> @handler(timeout=30, retry=RetryPolicy(attempts=2), skip=lambda ctx: ctx.attempt > 1)
        ... def report(ctx: Context) -> dict[str, int]:
        ...     return {"steps before": len(ctx.outputs)}
        >>> report.name
        'report'
    """

    def declare(function: Callable[..., Any]) -> Handler:
        return Handler(
            name=name or function.__name__,
            run=function,
            payload=_payload_model(function),
            timeout=timeout,
            retry=retry,
            skip=skip,
            description=inspect.getdoc(function) or "",
        )

    return declare if run is None else declare(run)


def _payload_model(function: Callable[..., Any]) -> type[BaseModel] | None:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) < 2:
        return None
    hint = typing.get_type_hints(function).get(parameters[1].name)
    if not (isinstance(hint, type) and issubclass(hint, BaseModel)):
        raise TypeError(
            f"handler {function.__name__!r}: annotate its second parameter with the pydantic model "
            f"of the payload (it is {hint!r})"
        )
    return hint


@dataclass(frozen=True, slots=True)
class Failure:
    """How a task failed, as `finish` sees it."""

    code: str
    message: str
    handler: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """What `finish` builds a task's result from."""

    task_id: str
    payload: Mapping[str, JSON]
    outputs: Sequence[tuple[str, JSON]]
    """(handler, output) of each step that has one, in order."""
    handlers: Sequence[str]
    worker: str
    duration: float
    """Seconds from the first start to the end."""
    failure: Failure | None = None


def last_output(finished: Finished) -> JSON:
    """The default result: what the last step returned; of a failed task, nothing."""
    if finished.failure is not None or not finished.outputs:
        return None
    return finished.outputs[-1][1]


@dataclass(frozen=True, slots=True)
class TaskType:
    """A kind of work: its payload, its chain and its policies.

    Examples:
        >>> TaskType("greet", payload=BaseModel, plan=lambda payload: ["hello"]).queue
        'quick_tasks'
    """

    name: str
    payload: type[BaseModel]
    plan: Callable[[Any], Sequence[str]]
    """The names of the handlers for one (validated) payload, in order."""
    handlers: Sequence[Handler] = ()
    named: Sequence[str] = ()
    """Handlers of other types that the chain uses, by name."""
    queue: str = "quick_tasks"
    timeout: float = 300.0
    """Seconds that each step may take, unless its handler says otherwise."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    finish: Callable[[Finished], JSON] = last_output
    description: str = ""
    schedule: str | None = None
    """Five cron fields: cron submits a task at each of these times, once in all."""
    timezone: str = "UTC"
    """The zone of `schedule`, as IANA names it."""
    schedule_payload: Mapping[str, JSON] = field(default_factory=dict)
    short: bool = False
    """Some milliseconds of work, or a second of waiting: tasks that are submitted together may
    travel in one message."""


def task_type(
    name: str,
    *,
    payload: type[BaseModel],
    handlers: Sequence[Handler | str],
    plan: Callable[[Any], Sequence[str]] | None = None,
    queue: str = "quick_tasks",
    timeout: float = 300.0,
    retry: RetryPolicy | None = None,
    finish: Callable[[Finished], JSON] = last_output,
    description: str = "",
    schedule: str | None = None,
    timezone: str = "UTC",
    schedule_payload: Mapping[str, JSON] | None = None,
    short: bool = False,
) -> TaskType:
    """Declare a task type. Its chain: `handlers` in order, unless `plan` picks names by payload.

    A handler that another type brings is given by its name. A `queue` that is named nowhere else
    is made. `schedule` (five cron fields, in `timezone`) has cron submit a task with
    `schedule_payload` at each of its times, once however many cron processes there are.

    Say `short=True` of a type whose tasks compute for some 5 ms at most, or wait (for a database,
    another service) for up to a second: those that are submitted at the same time then travel,
    start and are recorded together, which is many times cheaper. They go to one worker, where
    those that wait run side by side, also more of them than its concurrency: 64 more at most.

    Examples:
        >>> class Greeting(BaseModel):
        ...     name: str
        >>> @handler
        ... async def greet(ctx: Context, payload: Greeting) -> str:
        ...     return f"Hello {payload.name}"
        >>> GREET = task_type("greet", payload=Greeting, handlers=[greet], schedule="0 9 * * *")
        >>> GREET.name, GREET.schedule
        ('greet', '0 9 * * *')
    """
    if not TYPE_NAME.fullmatch(name):
        raise ValueError(f"task type {name!r}: a lower-case letter, then letters, digits and _")
    names = tuple(item if isinstance(item, str) else item.name for item in handlers)
    return TaskType(
        name=name,
        payload=payload,
        plan=plan or (lambda _payload: names),
        handlers=tuple(item for item in handlers if not isinstance(item, str)),
        named=tuple(item for item in handlers if isinstance(item, str)),
        queue=queue,
        timeout=timeout,
        retry=retry or RetryPolicy(),
        finish=finish,
        description=description,
        schedule=schedule,
        timezone=timezone,
        schedule_payload=dict(schedule_payload or {}),
        short=short,
    )
