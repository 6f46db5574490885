"""One queue, as one process takes from it: so many at once, and nothing while it is closed.

A delivery is handed over by the consume callback and never runs inside it: a lost connection
cancels callbacks, and must not cancel handlers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from infra.broker.base import Broker, BrokerError, Delivery, StaleDelivery, Subscription

AFTER_ERROR = 1.0
"""Seconds before a delivery goes back whose processing itself broke."""

log = structlog.get_logger(__name__)

Process = Callable[[Delivery], Awaitable[None]]
Adopt = Callable[[Delivery], bool]


class Intake:
    """Opened, it consumes. Closed, messages that no slot has begun go back to their queue, and what
    runs ends undisturbed: its channel stays until then, to acknowledge it. Each opening has a
    channel of its own."""

    def __init__(
        self,
        broker: Broker,
        queue: str,
        process: Process,
        adopt: Adopt,
        *,
        concurrency: int,
        prefetch: int,
    ) -> None:
        """`process` works a delivery off and settles it; `adopt` takes those that belong to what
        runs already."""
        self.queue = queue
        self._broker = broker
        self._process = process
        self._adopt = adopt
        self._prefetch = prefetch
        self._slots = asyncio.Semaphore(concurrency)
        self._subscription: Subscription | None = None
        self._taking = False
        self._retired: dict[Subscription, asyncio.Task[None]] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._unstarted: dict[asyncio.Task[None], Delivery] = {}

    @property
    def working(self) -> set[asyncio.Task[None]]:
        """What is under way, begun or not."""
        return set(self._working)

    @property
    def is_open(self) -> bool:
        return self._taking

    async def open(self) -> None:
        """Begin to take."""
        if self._taking:
            return
        await self.close()  # if that was cut short
        self._taking = True
        try:
            self._subscription = await self._broker.consume(
                self.queue, self._receive, prefetch=self._prefetch
            )
        except BaseException:
            self._taking = False
            raise

    async def close(self) -> None:
        """Take nothing more, and give back what has not begun."""
        self._taking = False
        if (subscription := self._subscription) is None:
            return
        await subscription.cancel()
        await self._give_back_unstarted()
        self._subscription = None
        retiring = asyncio.create_task(self._retire(subscription, self.working))
        self._retired[subscription] = retiring

    async def stop(self) -> None:
        """Close for good. What still runs has been ended by the caller, or is given up."""
        await self.close()
        for subscription, retiring in list(self._retired.items()):
            retiring.cancel()
            await asyncio.gather(retiring, return_exceptions=True)
            await subscription.close()
        self._retired.clear()

    async def _retire(self, subscription: Subscription, working: set[asyncio.Task[None]]) -> None:
        if working:
            await asyncio.wait(working)
        await subscription.close()
        del self._retired[subscription]

    def _receive(self, delivery: Delivery) -> None:
        if self._adopt(delivery):
            return
        if not self._taking:  # it came while the consumer ended
            self._keep(asyncio.create_task(_give_back(delivery)))
            return
        task = asyncio.create_task(self._work(delivery))
        self._keep(task)
        self._unstarted[task] = delivery
        task.add_done_callback(lambda done: self._unstarted.pop(done, None))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _give_back_unstarted(self) -> None:
        """The newest first: each goes to the front of its queue. Slots become free meanwhile: what
        has begun by the time it would be its turn is left alone."""
        while self._unstarted:
            task, delivery = self._unstarted.popitem()
            task.cancel()  # it may not even have begun to wait for its slot
            await _give_back(delivery)

    async def _work(self, delivery: Delivery) -> None:
        try:
            async with self._slots:
                if (this := asyncio.current_task()) is not None:
                    self._unstarted.pop(this, None)
                await self._process(delivery)
        except StaleDelivery:
            log.info("delivery_stale", queue=delivery.queue)
        except Exception:
            log.exception("delivery_failed", queue=delivery.queue)
            with contextlib.suppress(BrokerError):  # the processor may have released it
                await delivery.release()
            await asyncio.sleep(AFTER_ERROR)  # with its slot: a message that breaks us is no storm


async def _give_back(delivery: Delivery) -> None:
    with contextlib.suppress(StaleDelivery):
        await delivery.release()
