"""Taking one submission on: once a key, and counted."""

from __future__ import annotations

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
        task_type = envelope.tasks[0].type
        try:
            if key is None:
                await self.submitter.submit(envelope, inherited)
                replayed = False
            else:
                envelope, replayed = await self.idempotency.submit(key, envelope, inherited)
        except SteplineError:
            self.counter.labels(task_type, "refused").inc()
            raise
        self.counter.labels(task_type, "replayed" if replayed else "accepted").inc()
        return envelope, replayed
