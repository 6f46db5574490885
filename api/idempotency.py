"""The `Idempotency-Key` header: the same key and body, the same task, even at the same time."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import orjson
import structlog

from api.errors import ProblemError
from api.submission import Submitter
from infra.checkpoints import Stored
from infra.envelope import Envelope, TaskMessage
from infra.history.base import History, HistoryUnavailable, TaskRecord
from infra.state.idempotency import IdempotencyKeys, Reservation
from infra.state.redis import StateUnavailable

WAIT = 5.0
"""Seconds that a request waits for another one with its key."""

LOOK_EVERY = 0.05
LONGEST_KEY = 200

log = structlog.get_logger(__name__)


def parse_key(headers: Sequence[str]) -> str | None:
    """The key without its quotes; None without a header. Raises a 400 problem."""
    if not headers:
        return None
    if len(headers) > 1:
        raise ProblemError(400, "bad_idempotency_key", "Idempotency-Key: one, not several.")
    key = headers[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise ProblemError(
            400,
            "bad_idempotency_key",
            f"Idempotency-Key: 1 to {LONGEST_KEY} printable ASCII characters, quoted or not.",
        )
    return key


def body_hash(task: TaskMessage | TaskRecord) -> str:
    """Of what was asked for, whatever the order of its fields."""
    asked = [task.type, task.payload, task.retry_of, task.from_step]
    canonical = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


class Idempotency:
    """Submits each key once."""

    def __init__(self, submitter: Submitter, keys: IdempotencyKeys, history: History) -> None:
        self._submitter = submitter
        self._keys = keys
        self._history = history

    async def submit(
        self, key: str, envelope: Envelope, inherited: Stored | None = None
    ) -> tuple[Envelope, bool]:
        """The envelope as it was accepted (its task id may be an earlier request's), and whether
        that had happened before."""
        (task,) = envelope.tasks
        digest = body_hash(task)
        reservation = await self._reserve(key, digest, task.id)
        if reservation.outcome == "other_body":
            raise reused(key)
        mine = replace(task, id=reservation.task_id, idempotency_key=key)
        accepted = Envelope(envelope.queue, (mine,))
        if reservation.outcome == "done":
            return accepted, True
        if reservation.outcome == "new" and await self._known_to_history(key, digest, mine.id):
            earlier = await self._reserve(key, digest, task.id)
            return Envelope(envelope.queue, (replace(mine, id=earlier.task_id),)), True
        try:
            await self._submitter.submit(accepted, inherited)
        except BaseException:
            await self._note(key, self._keys.give_back)
            raise
        await self._note(key, self._keys.accepted)
        return accepted, False

    async def _note(self, key: str, write: Callable[[str], Awaitable[None]]) -> None:
        """What became of the request is decided. If this is lost, the key's next request waits
        until the reservation is old, and gets the same task id."""
        try:
            await write(key)
        except StateUnavailable as error:
            log.warning("idempotency_key_not_noted", error=str(error))

    async def _reserve(self, key: str, digest: str, task_id: str) -> Reservation:
        deadline = time.monotonic() + WAIT
        while True:
            reservation = await self._keys.reserve(key, digest, task_id)
            if reservation.outcome != "busy":
                return reservation
            if time.monotonic() > deadline:
                raise ProblemError(
                    409,
                    "idempotency_conflict",
                    "Another request with this Idempotency-Key is still under way.",
                    headers={"Retry-After": "1"},
                )
            await asyncio.sleep(LOOK_EVERY)

    async def _known_to_history(self, key: str, digest: str, own_id: str) -> bool:
        """Redis may have been flushed since the key was used."""
        if not await self._keys.may_have_forgotten():
            return False
        try:
            record = await self._history.by_idempotency_key(key)
        except HistoryUnavailable as error:
            # Redis flushed *and* the database away *and* an old key: rarer than either alone, and
            # not worth refusing every submission while the database is away
            log.warning("idempotency_key_not_looked_up", error=str(error))
            return False
        if record is None or record.id == own_id:
            return False
        if body_hash(record) != digest:
            raise reused(key)
        await self._keys.adopt(key, record.id)
        return True


def reused(key: str) -> ProblemError:
    return ProblemError(
        422, "idempotency_key_reused", f"The Idempotency-Key {key!r} was used with another body."
    )
