"""What the engine works with, and its one way to publish: again and again, until confirmed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import structlog

from handlers.registry import Registry
from infra.broker.base import Broker, BrokerError, Message
from infra.broker.topology import HISTORY_QUEUE
from infra.group_commit import GroupCommit, GroupLimits
from infra.history.base import History, TaskRecord
from infra.metrics import Metrics
from infra.records import encode_record, records_message
from infra.state.barriers import Barriers
from infra.state.controls import Controls
from infra.state.liveness import Workers
from infra.state.store import State
from workers.blobs import Checkpoints
from workers.context import Services

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

RECORDS = GroupLimits(most=64, heaviest=192 * 1024)
"""Of one message to the history: what was recorded together, and its bytes."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Engine:
    """One worker process's means."""

    worker: str
    broker: Broker
    state: State
    workers: Workers
    barriers: Barriers
    controls: Controls
    history: History
    registry: Registry
    services: Services
    checkpoints: Checkpoints
    metrics: Metrics
    slice_after: float = 600.0
    """Seconds after which a running task's delivery is renewed."""
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Start something that nobody waits for; it is kept until it ends."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Drop what is still going on in the background."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._records.drop()

    async def send(self, queue: str, message: Message, delay: float = 0.0) -> None:
        """Publish to a queue. Returns when it is confirmed, however long that takes."""
        await insist(lambda: self.broker.send(queue, message, delay=delay))

    @cached_property
    def _records(self) -> GroupCommit[Sequence[bytes]]:
        return GroupCommit(self._publish_records, RECORDS)

    async def record(self, *records: TaskRecord) -> None:
        """Publish to the history. Returns when all are confirmed, however long that takes."""
        if not records:
            return
        encoded = [encode_record(record) for record in records]
        weight = sum(map(len, encoded))
        if weight <= RECORDS.heaviest:
            await self._records.add(encoded, weight)
        else:
            await self._records.add_all([((item,), len(item)) for item in encoded])

    async def _publish_records(self, groups: Sequence[Sequence[bytes]]) -> None:
        await self.send(
            HISTORY_QUEUE, records_message([item for group in groups for item in group])
        )


async def insist(publish: Callable[[], Awaitable[None]]) -> None:
    """Repeat a publish until the broker takes it: whoever reads it bears doubles."""
    pause = SHORTEST_PAUSE
    while True:
        try:
            await publish()
        except BrokerError as error:
            log.warning("publish_repeated", code=error.code, error=str(error))
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return
