"""The context of a handler under test: what the handler does with it is kept."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stepline.authoring import JSON
from stepline.testing.doubles import CannedFetcher, FixedUsers, MemoryExports, RecordingMailer


@dataclass
class RecordingContext:
    """The context that a handler under test gets; what it does with it is kept.

    Examples:
        >>> ctx = RecordingContext(task_name="a test")
        >>> await ctx.progress(1, 2, "half")
        >>> ctx.progressed
        [(1, 2, 'half')]
    """

    task_id: str = "01900000-0000-7000-8000-000000000000"
    task_type: str = "test"
    task_name: str | None = None
    attempt: int = 1
    handler: str = "handler"
    index: int = 0
    total: int = 1
    worker: str = "worker@test:1"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    payload: Any = None
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
    on_call: Callable[[RecordingContext], None] = field(
        default=lambda _: None, repr=False, compare=False
    )
    """Called after each `progress`, `save`, `emit` and `log`."""

    @property
    def idempotency_key(self) -> str:
        return f"{self.task_id}:{self.index}:{self.handler}"

    async def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None:
        if not math.isfinite(current) or (total is not None and not math.isfinite(total)):
            raise ValueError("progress takes finite numbers")
        self.progressed.append((current, total, message))
        await self._told()

    async def save(self, state: JSON) -> None:
        self.saved = as_json(state)
        self.saves.append(self.saved)
        await self._told()

    async def emit(self, data: JSON) -> None:
        self.emitted.append(as_json(data))
        await self._told()

    async def log(self, message: str, **fields: JSON) -> None:
        self.logged.append((message, as_json(fields)))
        await self._told()

    async def _told(self) -> None:
        self.on_call(self)
        await asyncio.sleep(0)  # as a real one does; a cancellation arrives here


def as_json(value: JSON) -> JSON:
    """The value as it comes back from where it is kept. Raises `TypeError` for what is no JSON:
    there it would fail the step."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{value!r} is no JSON")
        return value
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"JSON has text for keys, not {wrong[0]!r}")
        return {key: as_json(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} is no JSON: {value!r:.80}")


class Blocking:
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
            return Blocking(value, self._loop)
        return value
