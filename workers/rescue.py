"""The rescue: publish again what history knows, has not ended, and nobody has.

A marker (a barrier) is sent through history and each work queue. When it has come out of all of
them, whatever was published before it is in somebody's hands; a task that has not ended, has not
changed since, and is held by no living process is in nobody's, and its message is lost. A long
backlog holds the barrier back, and so is left alone. So is a paused queue, which lets nothing
through: the others do not wait for it. A marker may be lost like any message: it is sent once more,
which proves the same when it comes out. The memory broker starts empty: its start is the barrier.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

import structlog
import uuid_utils

from infra.broker.base import Broker, Message
from infra.broker.topology import HISTORY_QUEUE
from infra.codec import dumps, loads, now
from infra.envelope import Envelope
from infra.history.base import History, TaskRecord
from infra.records import history_message, message_of, record_from_state
from infra.state.barriers import Barrier, Barriers
from infra.state.controls import Controls
from infra.state.liveness import Workers
from infra.state.models import TaskState
from infra.state.store import State
from workers.blobs import BlobStore, Checkpoints

KIND = "barrier"
PAGE = 500
LOST_AFTER = 600.0
"""Seconds after which a marker is sent again even though its queue still has messages."""

log = structlog.get_logger(__name__)


class Parts(Protocol):
    """What a rescue works with; `infra.resources.Resources` is one."""

    @property
    def broker(self) -> Broker: ...
    @property
    def state(self) -> State: ...
    @property
    def history(self) -> History: ...
    @property
    def barriers(self) -> Barriers: ...
    @property
    def controls(self) -> Controls: ...
    @property
    def workers(self) -> Workers: ...
    @property
    def exports(self) -> BlobStore: ...


def barrier_message(barrier: str) -> Message:
    return Message(KIND, dumps({"id": barrier}), correlation_id=barrier)


def barrier_of(message: Message) -> str:
    return str(loads(message.body)["id"])


async def republish_all(parts: Parts) -> int:
    """At the start of an embedded stack: every task that has not ended goes back into its queue.
    Returns how many."""
    count = 0
    async for record in _unfinished(parts.history):
        if record.due_at is None:  # else it is released when its time comes
            await _republish(parts.broker, record)
            count += 1
    return count


async def sweep(parts: Parts, queues: Sequence[str]) -> int:
    """One round: if the last barrier is through, rescue what it has shown to be lost, and send the
    next one. Returns how many tasks were published again."""
    barrier = await parts.barriers.current()
    paused = (await parts.controls.standing()).paused
    wanted = {*queues, HISTORY_QUEUE} - paused.keys()
    if barrier is not None and not wanted <= barrier.passed:
        await _remind(parts.broker, barrier, sorted(wanted - barrier.passed))
        return 0
    rescued = 0
    if barrier is not None:
        dead: dict[str, bool] = {}
        async for record in _unfinished(parts.history):
            waits = record.due_at is not None or record.queue not in barrier.passed
            if not waits and max(record.updated_at, record.created_at) < barrier.sent_at:
                rescued += await _rescue(parts, record, barrier.sent_at, dead)
    fresh = uuid_utils.uuid4().hex
    await parts.barriers.begin(fresh, now())
    for queue in sorted(wanted):
        await parts.broker.send(queue, barrier_message(fresh))
    return rescued


async def _remind(broker: Broker, barrier: Barrier, missing: Sequence[str]) -> None:
    """Send the markers again that must be lost: nothing waits in their queue any more."""
    log.info("rescue_waits", missing=missing)
    old = (now() - barrier.sent_at).total_seconds() > LOST_AFTER
    for queue in missing:
        if old or await broker.depth(queue) == 0:
            await broker.send(queue, barrier_message(barrier.id))


async def _rescue(
    parts: Parts, record: TaskRecord, sent_at: datetime, dead: dict[str, bool]
) -> bool:
    """`dead` keeps what is known of the holders: it takes seconds to find out."""
    state = await parts.state.get(record.id)
    if state is not None and state.status.ended:
        await _repair(parts, record, state)
        return False
    if state is not None and (state.updated_at >= sent_at or state.not_before > time.time()):
        return False
    if state is not None and (holder := state.holder) is not None:
        if holder not in dead:
            dead[holder] = await parts.workers.is_dead(holder)
        if not dead[holder]:
            return False
    log.warning("task_rescued", task_id=record.id, status=record.status)
    await _republish(parts.broker, record)
    return True


async def _repair(parts: Parts, record: TaskRecord, state: TaskState) -> None:
    """It has ended, and only history has not heard of it."""
    events = await parts.state.events(record.id)
    steps = await Checkpoints(parts.exports).load_all(await parts.state.steps(record.id))
    repaired = record_from_state(state, events, steps, message_of(record))
    queue, message = history_message(repaired)
    await parts.broker.send(queue, message)


async def _unfinished(history: History) -> AsyncIterator[TaskRecord]:
    after: TaskRecord | None = None
    while records := await history.unfinished(after=after, limit=PAGE):
        for record in records:
            yield record
        after = records[-1]


async def _republish(broker: Broker, record: TaskRecord) -> None:
    await broker.send(record.queue, Envelope(record.queue, (message_of(record),)).message())
