"""Acceptance: the task is in Redis, and the broker has confirmed it."""

from __future__ import annotations

from collections.abc import Sequence

from infra.actions.base import Parts
from infra.broker.topology import SCHEDULED_KEY
from infra.checkpoints import Stored
from infra.envelope import EncodedTask, Envelope, envelope_message
from infra.state.store import checkpoint_field


async def accept(parts: Parts, envelope: Envelope, inherited: Stored | None = None) -> None:
    """When this returns, the envelope's task will end, whatever crashes. `inherited` are the
    checkpoints that it takes over. Raises `StateUnavailable` or a `BrokerError`."""
    (task,) = envelope.tasks
    steps = {checkpoint_field(*place): output for place, output in (inherited or {}).items()}
    await parts.state.submit(envelope.queue, task, steps)
    # a deferred one goes to history alone, which keeps it until its time
    await parts.broker.accept(SCHEDULED_KEY if task.run_at else envelope.queue, envelope.message())


async def accept_together(parts: Parts, queue: str, tasks: Sequence[EncodedTask]) -> None:
    """As `accept`, for several new tasks that start now, in one message: all of them or none. When
    this raises, of each of them it is unknown."""
    await parts.state.submit_all(queue, [item.task for item in tasks])
    await parts.broker.accept(queue, envelope_message(queue, tasks))
