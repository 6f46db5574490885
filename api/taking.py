"""Taking one submission on: once a key, and counted."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from prometheus_client import Counter
from stepline.errors import SteplineError

from api.idempotency import Idempotency
from api.submission import Submitter
from infra.checkpoints import Stored
from infra.envelope import Envelope
from infra.metrics import Labelled


@dataclass(frozen=True, slots=True)
class Taking:
    """What every route that submits goes through."""

    submitter: Submitter
    idempotency: Idempotency
    counter: Labelled[Counter]

    async def take(
        self, key: str | None, envelope: Envelope, inherited: Stored | None = None
    ) -> tuple[Envelope, bool]:
        """The envelope as it was accepted, and whether that had happened before."""
        if key is None:
            await self.taken(envelope, self.submitter.begin(envelope, inherited))
            return envelope, False
        try:
            envelope, replayed = await self.idempotency.submit(key, envelope, inherited)
        except SteplineError:
            self._count(envelope, "refused")
            raise
        self._count(envelope, "replayed" if replayed else "accepted")
        return envelope, replayed

    async def taken(self, envelope: Envelope, begun: Awaitable[None]) -> None:
        """Wait for a submission without a key that the caller has begun."""
        try:
            await begun
        except SteplineError:
            self._count(envelope, "refused")
            raise
        self._count(envelope, "accepted")

    def _count(self, envelope: Envelope, answer: str) -> None:
        self.counter.labels(envelope.tasks[0].type, answer).inc()
