"""What a worker does while something is away: it waits, and tries again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from infra.broker.base import Delivery, StaleDelivery
from infra.history.base import HistoryUnavailable
from infra.state.redis import StateUnavailable

AWAY_PAUSE = 0.5

log = structlog.get_logger(__name__)

T = TypeVar("T")


async def while_away(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask Redis or history until it answers. What is asked may be repeated."""
    while True:
        try:
            return await ask()
        except StateUnavailable as error:
            log.warning("state_away", error=str(error))
        except HistoryUnavailable as error:
            log.warning("history_away", error=str(error))
        await asyncio.sleep(AWAY_PAUSE)


async def ack(delivery: Delivery) -> None:
    """Done with it. A stale one comes again, and finds its task ended."""
    try:
        await delivery.ack()
    except StaleDelivery:
        log.info("ack_stale", queue=delivery.queue)


async def release(delivery: Delivery) -> None:
    """Back to its queue."""
    try:
        await delivery.release()
    except StaleDelivery:
        log.info("release_stale", queue=delivery.queue)
