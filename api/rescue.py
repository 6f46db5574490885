"""At an embedded start: publish again what history knows and has not ended.

The memory broker was emptied by the restart, so nothing of it can be in a queue.
"""

from __future__ import annotations

from infra.envelope import Envelope, TaskMessage
from infra.history.base import TaskRecord
from infra.resources import Resources

PAGE = 500


async def republish_unfinished(resources: Resources) -> int:
    """Returns how many tasks were put back into their queues."""
    if not resources.broker.confirms_history:
        return 0
    count, after = 0, None
    while records := await resources.history.unfinished(after=after, limit=PAGE):
        for record in records:
            envelope = Envelope(record.queue, (_message(record),))
            await resources.broker.send(record.queue, envelope.message())
        count += len(records)
        after = records[-1].id
    return count


def _message(record: TaskRecord) -> TaskMessage:
    return TaskMessage(
        id=record.id,
        type=record.type,
        handlers=tuple(record.handlers),
        payload=record.payload or {},
        created_at=record.created_at,
        name=record.name,
        attempt=record.attempt,
        retry_of=record.retry_of,
        idempotency_key=record.idempotency_key,
    )
