"""A context for handlers under test: it records in memory what a step does, and opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from stepline.authoring import JSON, Context, Exports, Fetcher, Mailer, Users


class ProgressCall(NamedTuple):
    current: float
    total: float | None
    message: str | None


class LogCall(NamedTuple):
    message: str
    fields: dict[str, Any]


class Absent:
    """Stands where a test gave nothing: touching it says what to pass."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise AssertionError(
            f"the handler used ctx.{self._name}.{attribute}: pass FakeContext({self._name}=...)"
        )


def _absent(name: str) -> Any:
    return Absent(name)


@dataclass(slots=True)
class FakeContext:
    """A `stepline.authoring.Context`; every attribute is settable by keyword.

    What the handler did is in `progressed`, `logged`, `emitted` and `saves`, each in order.
    """

    task_id: str = "task-1"
    task_type: str = "chain"
    task_name: str | None = None
    attempt: int = 1
    handler: str = "handler"
    index: int = 0
    total: int = 1
    worker: str = "worker@test:1"
    created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    outputs: Mapping[str, JSON] = field(default_factory=dict)
    saved: JSON = None
    idempotency_key: str = ""
    mailer: Mailer = field(default_factory=lambda: _absent("mailer"))
    fetcher: Fetcher = field(default_factory=lambda: _absent("fetcher"))
    exports: Exports = field(default_factory=lambda: _absent("exports"))
    users: Users = field(default_factory=lambda: _absent("users"))
    progressed: list[ProgressCall] = field(default_factory=list)
    logged: list[LogCall] = field(default_factory=list)
    emitted: list[JSON] = field(default_factory=list)
    saves: list[JSON] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.idempotency_key:
            self.idempotency_key = f"{self.task_id}:{self.index}:{self.handler}"

    async def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None:
        self.progressed.append(ProgressCall(current, total, message))

    async def save(self, state: JSON) -> None:
        self.saves.append(state)

    async def emit(self, data: JSON) -> None:
        self.emitted.append(data)

    async def log(self, message: str, **fields: JSON) -> None:
        self.logged.append(LogCall(message, fields))


def context(**attributes: Any) -> Context:
    """A `FakeContext`, seen as the protocol: mypy holds the two together here."""
    fake: Context = FakeContext(**attributes)
    return fake
