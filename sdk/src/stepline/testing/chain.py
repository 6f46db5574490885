"""`run_chain`: a whole chain in this process, decided as the engine decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from stepline.authoring import JSON, Failure, Finished, Handler, RetryPolicy, TaskType
from stepline.errors import Reject, Retry, SteplineError
from stepline.testing.context import Blocking, RecordingContext, as_json

CANCELLED = "cancelled"


@dataclass
class ChainResult:
    """What came of a chain: its result, or its failure; each step's output and context.

    Examples:
        >>> ran = ChainResult(3, None, outputs={}, contexts={}, skipped=[], attempts=1)
        >>> ran.succeeded
        True
    """

    result: JSON
    failure: Failure | None
    outputs: dict[str, JSON]
    contexts: dict[str, RecordingContext]
    skipped: list[str]
    attempts: int

    @property
    def succeeded(self) -> bool:
        return self.failure is None

    @property
    def cancelled(self) -> bool:
        return self.failure is not None and self.failure.code == CANCELLED


async def run_chain(
    task_type: TaskType,
    payload: BaseModel | Mapping[str, JSON],
    *,
    context: RecordingContext | None = None,
    handlers: Mapping[str, Handler] | None = None,
    cancel_when: Callable[[RecordingContext], bool] | None = None,
) -> ChainResult:
    """Run a type's whole chain on `payload`.

    `context` is what each step's own context begins as: services, a name, saved state. `handlers`
    are those that the chain uses by name without bringing them. `cancel_when` is asked after each
    `progress`, `save`, `emit` and `log`: once it says yes, the task is cancelled as a person would,
    and the handler gets its `CancelledError`. (A plain `def` handler cannot be stopped: it is no
    longer waited for.) What is no JSON fails the step, as it would in the service. Raises
    `KeyError` for a handler that is missing, pydantic's `ValidationError` for a payload that is
    none.

    Examples:
        >>> from pydantic import BaseModel
        >>> from stepline import Context, handler, task_type
        >>> class Greeting(BaseModel):
        ...     name: str
        >>> @handler
        ... async def greet(ctx: Context, payload: Greeting) -> str:
        ...     return f"Hello {payload.name}"
        >>> GREET = task_type("greet", payload=Greeting, handlers=[greet])
        >>> (await run_chain(GREET, {"name": "Ada"})).result
        'Hello Ada'
    """
    body = payload.model_dump(mode="json") if isinstance(payload, BaseModel) else dict(payload)
    model = task_type.payload.model_validate(body)
    known = {**(handlers or {}), **{item.name: item for item in task_type.handlers}}
    names = tuple(task_type.plan(model))
    run = _Run(
        task_type=task_type,
        body=body,
        names=names,
        known=known,
        context=context or RecordingContext(),
        cancel_when=cancel_when,
    )
    return await run.all()


class _Run:
    def __init__(
        self,
        *,
        task_type: TaskType,
        body: Mapping[str, JSON],
        names: tuple[str, ...],
        known: Mapping[str, Handler],
        context: RecordingContext,
        cancel_when: Callable[[RecordingContext], bool] | None,
    ) -> None:
        self._cancel_when = cancel_when
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
                self._outputs[handler.name] = as_json(await self._stoppable(ctx, handler))
            except _Cancelled:
                return Failure(CANCELLED, "cancelled by the test", handler.name)
            except Exception as error:
                self._failures += 1
                if getattr(error, "output", None) is not None:
                    self._outputs[handler.name] = as_json(getattr(error, "output", None))
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
            payload=self._type.payload.model_validate(self._body),
            outputs=dict(self._outputs),
            saved=first.saved,
            mailer=first.mailer,
            fetcher=first.fetcher,
            exports=first.exports,
            users=first.users,
        )
        self._contexts[handler.name] = ctx
        return ctx

    async def _stoppable(self, ctx: RecordingContext, handler: Handler) -> JSON:
        """The handler's output. Raises `_Cancelled` if it is stopped, whatever it does then."""
        running = asyncio.create_task(self._call(ctx, handler))
        stopped = False

        def look(ctx: RecordingContext) -> None:
            nonlocal stopped
            if not stopped and self._cancel_when is not None and self._cancel_when(ctx):
                stopped = True
                running.cancel()

        ctx.on_call = look
        try:
            await asyncio.wait({running})
        finally:  # the test itself may be cancelled meanwhile
            running.cancel()
        if stopped:
            await asyncio.gather(running, return_exceptions=True)
            raise _Cancelled
        return running.result()

    async def _call(self, ctx: RecordingContext, handler: Handler) -> JSON:
        arguments = [self._payload(handler.payload)] if handler.payload else []
        seconds = handler.timeout if handler.timeout is not None else self._type.timeout
        try:
            async with asyncio.timeout(seconds) as limit:
                if handler.is_async:
                    return await handler.run(ctx, *arguments)
                blocking = Blocking(ctx, asyncio.get_running_loop())
                return await asyncio.to_thread(handler.run, blocking, *arguments)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"{handler.name} took longer than {seconds:g} s"
            raise Retry(message, code="timeout") from None

    def _payload(self, model: type[BaseModel]) -> BaseModel:
        """As the handler wants it; of a type whose own model is a kind of that, as this."""
        if issubclass(self._type.payload, model):
            model = self._type.payload
        return model.model_validate(self._body)


class _Cancelled(Exception):
    pass


def _failure(error: Exception, handler: str) -> Failure:
    if isinstance(error, SteplineError):
        return Failure(error.code, error.message, handler)
    return Failure("handler_error", f"{type(error).__name__}: {error}", handler)
