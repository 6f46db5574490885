"""An engine with everything around it, in the test's own loop: on the embedded parts or on real
services. A test declares handlers of its own, submits, and reads what a client would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from stepline.authoring import Handler, RetryPolicy, TaskType, task_type

from api.submission import Submitter
from handlers.registry import Registry
from infra.codec import loads
from infra.envelope import Envelope
from infra.history.base import TaskRecord
from infra.history.engine import make_engine
from infra.history.schema import migrate_engine
from infra.resources import Resources, open_resources
from infra.settings import Settings
from infra.state.models import TaskState
from tests.waiting import wait_for
from workers.app import Worker, running_worker

FAST = RetryPolicy(attempts=3, base=0.01, cap=0.01)
"""Three attempts that follow each other at once."""


class Anything(BaseModel):
    """A payload that takes whatever a test sends."""

    model_config = ConfigDict(extra="allow")


def a_type(name: str, *handlers: Handler, queue: str = "quick_tasks", **more: Any) -> TaskType:
    """A task type for tests; fails fast unless said otherwise."""
    more.setdefault("retry", FAST)
    return task_type(name, payload=Anything, handlers=handlers, queue=queue, **more)


@dataclass
class EngineStack:
    """Open resources, and workers on demand."""

    settings: Settings
    resources: Resources
    registry: Registry
    submitter: Submitter
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def worker(self, settings: Settings | None = None) -> Worker:
        """Start a worker (with settings of its own, perhaps); it drains when the test ends."""
        resources = replace(self.resources, settings=settings or self.settings)
        return await self.stack.enter_async_context(running_worker(resources, self.registry))

    async def submit(self, type_name: str, **payload: Any) -> str:
        envelope = self.submitter.draft(type_name, Anything(**payload))
        await self.submitter.submit(envelope)
        return envelope.tasks[0].id

    def draft(self, type_name: str, **payload: Any) -> Envelope:
        return self.submitter.draft(type_name, Anything(**payload))

    async def state(self, task_id: str) -> TaskState:
        state = await self.resources.state.get(task_id)
        assert state is not None, f"Redis does not know {task_id}"
        return state

    async def ended(self, task_id: str, timeout: float = 20.0) -> TaskState:
        """The task, once it has ended."""

        async def look() -> TaskState | None:
            state = await self.resources.state.get(task_id)
            return state if state is not None and state.status.ended else None

        found = await wait_for(look, timeout)
        assert found is not None
        return found

    async def recorded(self, task_id: str, timeout: float = 20.0) -> TaskRecord:
        """The task's row, once history has its end."""

        async def look() -> TaskRecord | None:
            record = await self.resources.history.get(task_id)
            return record if record is not None and record.status.ended else None

        found = await wait_for(look, timeout)
        assert found is not None
        return found

    async def kinds(self, task_id: str) -> list[str]:
        """The kinds of its events, in order."""
        return [event.kind for event in await self.resources.state.events(task_id)]

    async def events(self, task_id: str) -> list[dict[str, Any]]:
        return [loads(event.json) for event in await self.resources.state.events(task_id)]


@asynccontextmanager
async def engine_stack(
    folder: Path, urls: dict[str, str], types: Sequence[TaskType], **settings: Any
) -> AsyncIterator[EngineStack]:
    """`urls` is empty for the embedded parts."""
    values: dict[str, Any] = {"data_dir": folder, "worker_grace": 5.0, **urls, **settings}
    configured = Settings(**values)
    if urls:
        engine = make_engine(configured.database_url)
        await migrate_engine(engine)
        await engine.dispose()
    registry = Registry(types)
    queues = tuple(dict.fromkeys([*registry.queues({}), "long_tasks", "quick_tasks"]))
    async with (
        open_resources(configured, kind="test", queues=queues) as resources,
        AsyncExitStack() as workers,
    ):
        submitter = Submitter(resources, registry, {})
        yield EngineStack(configured, resources, registry, submitter, workers)
        await workers.aclose()
        await submitter.close()
