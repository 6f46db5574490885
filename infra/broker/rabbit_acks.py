"""Settling what one channel has handed out: acknowledgements that meet leave together.

A quorum queue writes each acknowledgement to its log. One frame may stand for all messages up to
its own ("multiple"), so those that begin with the oldest in hand cost one for all of them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from itertools import takewhile

from aiormq.abc import AbstractChannel as RawChannel

from infra.broker.base import StaleDelivery
from infra.broker.rabbit_connection import CONNECTION_ERRORS, driver_cancellations
from infra.group_commit import GroupCommit, GroupLimits

SETTLE_TIMEOUT = 10.0

# one group at a time: a frame for a message that another one stands for closes the channel
TOGETHER = GroupLimits(most=10_000, heaviest=0, under_way=1)


class InHand:
    """The delivery tags of a channel that are not settled, the oldest first."""

    def __init__(self, channel: RawChannel) -> None:
        self._channel = channel
        self._tags: OrderedDict[int, bool] = OrderedDict()
        """Each with whether it is being settled. It stays until its frame is on its way: a frame
        for several must not pass by it."""
        self._acks = GroupCommit(self._ack_all, TOGETHER)

    def add(self, tag: int) -> None:
        """It was handed out: later than those that are here."""
        self._tags[tag] = False

    async def ack(self, tag: int) -> None:
        """Done. Raises `StaleDelivery`."""
        self._begin(tag)
        await _settled(self._acks.add(tag))  # the group may be cancelled by the driver, too

    async def release(self, tag: int) -> None:
        """Not done: back to the front of the queue. Raises `StaleDelivery`."""
        self._begin(tag)
        # reject, not nack: RabbitMQ 4.3 counts only the former towards the delivery limit
        await _settled(self._channel.basic_reject(tag, requeue=True))
        del self._tags[tag]

    def _begin(self, tag: int) -> None:
        if self._tags.get(tag, True):
            raise StaleDelivery("settled before")
        self._tags[tag] = True

    async def _ack_all(self, tags: Sequence[int]) -> None:
        done = set(tags)
        oldest = list(takewhile(done.__contains__, self._tags))
        single = sorted(done.difference(oldest))
        if oldest:
            several = len(oldest) > 1
            await _settled(self._channel.basic_ack(oldest[-1], multiple=several, wait=not single))
        for tag in single:
            # the last one waits until all of them are written
            await _settled(self._channel.basic_ack(tag, wait=tag == single[-1]))
        for tag in tags:
            del self._tags[tag]


async def _settled(answer: Awaitable[None]) -> None:
    try:
        with driver_cancellations():
            async with asyncio.timeout(SETTLE_TIMEOUT):
                await answer
    except CONNECTION_ERRORS as error:
        raise StaleDelivery(f"its channel is gone: {error!r}") from error
