"""What must happen now and then: release what is due, go on with bulk actions, forget what is old.

The cron process does it by arq's clock; the embedded stack, which has one process, by a loop. Each
round is short and may be repeated: nothing depends on one that was cut off.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from stepline.errors import Retry

from handlers.registry import Registry
from infra.actions.bulk import Bulk
from infra.broker.base import BrokerError
from infra.codec import now
from infra.envelope import Envelope
from infra.history.base import HistoryUnavailable, TaskRecord
from infra.records import message_of
from infra.resources import Resources
from infra.state.redis import StateUnavailable
from workers.schedules import submit_scheduled

TICK = 0.5
"""Seconds between two looks at what is due."""

AHEAD = timedelta(seconds=1)
"""What is due so soon is released now: its worker waits for the rest, to the millisecond."""

PAGE = 500
BULK_SECONDS = 0.4
PRUNE_EVERY = 60.0
PRUNE_BATCHES = 20
"""Of one round: what is left is for the next."""

AWAY = (BrokerError, StateUnavailable, HistoryUnavailable)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The rounds, over a process's resources."""

    resources: Resources
    registry: Registry

    async def release(self) -> int:
        """Publish the deferred tasks whose time has come, confirmed, and mark them. One that is
        published twice is claimed once."""
        count = 0
        while records := await self.resources.history.due(now() + AHEAD, limit=PAGE):
            await asyncio.gather(*(self._release(record) for record in records))
            await self.resources.history.released([record.id for record in records], now())
            count += len(records)
        return count

    async def _release(self, record: TaskRecord) -> None:
        message = Envelope(record.queue, (message_of(record),)).message()
        await self.resources.broker.send(record.queue, message)
        await self.resources.state.release(record.id)

    async def schedules(self) -> int:
        """Submit the tasks of types with a schedule whose time has come."""
        return await submit_scheduled(self.resources, self.registry)

    async def bulk(self) -> bool:
        """Go on with the oldest bulk action, if there is one; one process at a time."""
        if await self.resources.history.running_bulk_action() is None:
            return False
        if not await self.resources.locks.take("bulk"):
            return False
        try:
            bulk = Bulk(self.resources, self.registry, self.resources.settings.routes)
            return await bulk.advance(BULK_SECONDS)
        finally:
            await self.resources.locks.give_back("bulk")

    async def prune(self) -> int:
        """Forget what ended more than `history_days` days ago, a little at a time; counts that are
        too old to be shown so finely; and, in Redis, what was never confirmed."""
        while await self.resources.state.forget_unconfirmed():
            pass
        await self.resources.history.prune_activity(now())
        days = self.resources.settings.history_days
        if not days:
            return 0
        before = now() - timedelta(days=days)
        await self.resources.history.prune_failures(before)
        count = 0
        for _ in range(PRUNE_BATCHES):
            task_ids = await self.resources.history.prune_tasks(before)
            for task_id in task_ids:
                await self._delete_blobs(task_id)
            letters = await self.resources.history.prune_dead_letters(before)
            count += len(task_ids)
            if not task_ids and not letters:
                break
        return count

    async def _delete_blobs(self, task_id: str) -> None:
        try:
            await self.resources.exports.delete_blobs(task_id)
        except Retry as error:
            log.warning("blobs_left_behind", task_id=task_id, error=str(error))


@asynccontextmanager
async def running_upkeep(resources: Resources, registry: Registry) -> AsyncIterator[None]:
    """The rounds by a loop, while the context lasts."""
    loop = asyncio.create_task(_loop(Upkeep(resources, registry)), name="upkeep")
    try:
        yield
    finally:
        loop.cancel()
        with suppress(asyncio.CancelledError):
            await loop


async def _loop(upkeep: Upkeep) -> None:
    pruned_at = time.monotonic()
    while True:
        try:
            await upkeep.release()
            await upkeep.schedules()
            await upkeep.bulk()
            if time.monotonic() - pruned_at > PRUNE_EVERY:
                pruned_at = time.monotonic()
                await upkeep.prune()
        except AWAY as error:
            log.warning("upkeep_postponed", error=str(error))
        except Exception:  # the next round may go better, and there has to be one
            log.exception("upkeep_failed")
        await asyncio.sleep(TICK)
