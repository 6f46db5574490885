"""Dead letters, seen to: replayed as a new task, or discarded."""

from __future__ import annotations

from dataclasses import replace

import uuid_utils

from infra.actions.base import ActionRefused, Catalogue, NothingThere, Parts
from infra.actions.draft import without_times
from infra.actions.retry import Draft
from infra.broker.base import Message
from infra.codec import now
from infra.envelope import KIND, BadEnvelope, Envelope, UnknownVersion, read_envelope
from infra.history.base import DeadLetterRecord

REPLAYED, DISCARDED = "replayed", "discarded"


async def find_open(parts: Parts, letter_id: str) -> DeadLetterRecord:
    """The letter. Raises `NothingThere`, or `ActionRefused` (`already_resolved`)."""
    letter = await parts.history.dead_letter(letter_id)
    if letter is None:
        raise NothingThere("dead letter", letter_id)
    if letter.resolution is not None:
        raise ActionRefused(
            "already_resolved", f"Dead letter {letter_id} was {letter.resolution} before."
        )
    return letter


def draft_replay(catalogue: Catalogue, routes: dict[str, str], letter: DeadLetterRecord) -> Draft:
    """A new task that does what the letter's was to do. Raises `ActionRefused` (`not_replayable`),
    or a `SteplineError` (`unknown_name`) while nobody knows its type."""
    try:
        envelope = read_envelope(Message(KIND, letter.body))
    except (BadEnvelope, UnknownVersion) as error:
        raise ActionRefused(
            "not_replayable", f"The message cannot be read ({error}): discard it."
        ) from error
    if len(envelope.tasks) != 1:
        raise ActionRefused(
            "not_replayable", "The message holds several tasks: retry each of them."
        )
    (task,) = envelope.tasks
    catalogue.type(task.type)
    again = replace(
        task,
        id=str(uuid_utils.uuid7()),
        payload=without_times(task.payload),
        created_at=now(),
        attempt=0,
        failures=0,
        not_before=0.0,
        run_at=0.0,
        deadline=0.0,
        retry_of=task.id,
        from_step=0,
        idempotency_key=None,
    )
    return Draft(Envelope(catalogue.queue_of(task.type, routes), (again,)), {})


async def resolve(
    parts: Parts, letter_id: str, resolution: str, by: str, replayed_as: str | None = None
) -> None:
    """Mark it as seen to. Raises `ActionRefused` if somebody was quicker."""
    done = await parts.history.resolve_dead_letter(
        letter_id, resolution, by=by, at=now(), replayed_as=replayed_as
    )
    if not done:
        raise ActionRefused("already_resolved", f"Dead letter {letter_id} was seen to before.")
