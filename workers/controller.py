"""Obeys what operators order: opens and closes this process's intakes as the orders stand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from infra.broker.base import BrokerError
from infra.state.controls import Controls
from infra.state.redis import StateUnavailable
from workers.intake import Intake

LOOK_EVERY = 0.5

log = structlog.get_logger(__name__)


class Controller:
    """Looks twice a second. While Redis is away the last orders hold; before the first answer
    nothing is taken."""

    def __init__(self, controls: Controls, worker: str, intakes: Sequence[Intake]) -> None:
        self._controls = controls
        self._worker = worker
        self._intakes = intakes
        self._loop: asyncio.Task[None] | None = None
        self._unknown = False

    async def start(self) -> None:
        """Obey once, then again and again behind."""
        await self._obey()
        self._loop = asyncio.create_task(self._run(), name="controller")

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._obey()
            except BrokerError as error:
                log.warning("orders_not_obeyed_yet", code=error.code, error=str(error))
            except Exception:  # the next look may go better, and there has to be one
                log.exception("orders_not_obeyed")

    async def _obey(self) -> None:
        try:
            standing = await self._controls.standing()
        except StateUnavailable as error:
            if not self._unknown:
                log.warning("orders_unknown", error=str(error))
            self._unknown = True
            return
        self._unknown = False
        changes = []
        for intake in self._intakes:
            wanted = standing.lets_take(self._worker, intake.queue)
            if wanted == intake.is_open:
                continue
            log.info("intake_opened" if wanted else "intake_closed", queue=intake.queue)
            changes.append(intake.open() if wanted else intake.close())
        # one that is slow must not keep the others from obeying
        for failure in await asyncio.gather(*changes, return_exceptions=True):
            if isinstance(failure, BaseException):
                raise failure
