"""Dead letters on their way: the message as it was, and why nobody could work it off."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from infra.broker.base import Broker, Message
from infra.broker.topology import DEAD_LETTERS_QUEUE
from infra.codec import dumps, loads, moment, now, timestamp
from infra.envelope import Envelope, TaskMessage
from infra.history.base import DeadLetterRecord

KIND = "dead"


async def bury(broker: Broker, letter: DeadLetterRecord) -> None:
    """Publish to `dead_letters`, confirmed."""
    headers = {
        "id": letter.id,
        "reason": letter.reason,
        "queue": letter.queue,
        "died_at": timestamp(letter.died_at),
        "task_type": letter.task_type or "",
        "error": dumps(letter.error).decode(),
    }
    message = Message(KIND, letter.body, correlation_id=letter.task_id, headers=headers)
    await broker.send(DEAD_LETTERS_QUEUE, message)


def undecodable(queue: str, message: Message, reason: str, text: str) -> DeadLetterRecord:
    """A letter for a message that is no envelope; its id is its content's, so it is kept once."""
    return DeadLetterRecord(
        id=sha256(message.body).hexdigest()[:36],
        reason=reason,
        queue=queue,
        body=message.body,
        died_at=now(),
        task_id=message.correlation_id,
        error={"code": reason, "message": text, "handler": None, "details": {}},
    )


def exhausted(
    queue: str, task: TaskMessage, reason: str, error: dict[str, Any]
) -> DeadLetterRecord:
    """A letter for a task that has used up its retries; one letter a task."""
    return DeadLetterRecord(
        id=task.id,
        reason=reason,
        queue=queue,
        body=Envelope(queue, (task,)).message().body,
        died_at=now(),
        task_id=task.id,
        task_type=task.type,
        error=error,
    )


def read_letter(message: Message) -> DeadLetterRecord:
    """The letter that `bury` published."""
    headers = message.headers
    return DeadLetterRecord(
        id=str(headers["id"]),
        reason=str(headers["reason"]),
        queue=str(headers["queue"]),
        body=message.body,
        died_at=moment(str(headers["died_at"])),
        task_id=message.correlation_id,
        task_type=str(headers["task_type"]) or None,
        error=loads(str(headers["error"])),
    )
