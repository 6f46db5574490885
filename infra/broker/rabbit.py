"""RabbitMQ: publishes that are confirmed or fail at once, consumers that come back by themselves.

By aio-pika over aiormq; the publisher uses aiormq's channel directly, for speed. Publishing and
consuming have a connection each: under a memory alarm RabbitMQ stops reading from connections that
publish, and acknowledgements, which would free memory, must not be stuck behind them.
"""

from __future__ import annotations

import asyncio

import structlog
from aio_pika.abc import AbstractConnection

from infra.broker.base import (
    Broker,
    BrokerError,
    BrokerUnavailable,
    Message,
    Receive,
    Subscription,
    UnknownQueue,
    Unroutable,
)
from infra.broker.rabbit_connection import (
    CONNECTION_ERRORS,
    RabbitConnection,
    raw_connection,
    split_hosts,
)
from infra.broker.rabbit_consumer import RabbitSubscription
from infra.broker.rabbit_publisher import RabbitPublisher
from infra.broker.rabbit_topology import RabbitTopology
from infra.broker.topology import EVENTS_EXCHANGE, TASKS_EXCHANGE, Topology, rung_for
from infra.broker.unserved import Unserved

ASSERT_EVERY = 5.0

log = structlog.get_logger(__name__)


class RabbitBroker(Broker):
    """See `Broker`. Safe for many concurrent publishers on one event loop.

    `url` may name several hosts, by commas; `publish_timeout` is in seconds.
    """

    def __init__(self, url: str, *, publish_timeout: float, topology: Topology, name: str) -> None:
        urls = split_hosts(url)
        self._queues = frozenset(topology.queues)
        self._timeout = publish_timeout
        self._look_now = asyncio.Event()
        self._unserved = Unserved()
        self._topology = RabbitTopology(topology, publish_timeout)
        self._publisher = RabbitPublisher(publish_timeout, on_lost=self._look_now.set)
        self._publishing = RabbitConnection(urls, name, self._prepare_publishing)
        self._consuming = RabbitConnection(urls, f"{name} (consumers)", _as_it_is)
        self._subscriptions: set[RabbitSubscription] = set()
        self._maintenance: asyncio.Task[None] | None = None

    async def open(self) -> None:
        try:
            await self._publishing.open()
        except CONNECTION_ERRORS as error:
            raise BrokerUnavailable(f"RabbitMQ: {error!r}") from error
        self._maintenance = asyncio.create_task(self._maintain(), name="broker maintenance")

    async def close(self) -> None:
        maintenance, self._maintenance = self._maintenance, None
        if maintenance is not None:
            maintenance.cancel()
            await asyncio.gather(maintenance, return_exceptions=True)
        for subscription in list(self._subscriptions):
            await subscription.close()
        await self._publisher.close()
        await self._consuming.close()
        await self._publishing.close()

    async def accept(self, queue: str, message: Message) -> None:
        await self._publisher.publish(TASKS_EXCHANGE, queue, message)

    async def send(self, queue: str, message: Message, *, delay: float = 0.0) -> None:
        if delay <= 0:
            await self._publisher.publish("", queue, message)
            return
        if queue not in self._queues:
            raise Unroutable(f"no queue {queue!r} to delay a message for")
        rung = rung_for(delay)
        self._publisher.require()
        await self._topology.ensure_rung(rung)
        try:
            await self._publisher.publish(rung.name, queue, message)
        except BrokerError:
            self._topology.doubt_rung(rung)
            raise

    async def announce(self, routing_key: str, *messages: Message) -> None:
        """The first one finds out whether anybody listens: mostly nobody does, and the others need
        not be sent. Who binds a queue hears of all that is announced after it."""
        for group in (messages[:1], messages[1:]):
            sent = [self._publisher.publish(EVENTS_EXCHANGE, routing_key, item) for item in group]
            failures = await asyncio.gather(*sent, return_exceptions=True)
            for failure in failures:
                if isinstance(failure, Unroutable):
                    return
                if failure is not None:
                    raise failure

    async def consume(self, queue: str, receive: Receive, *, prefetch: int) -> Subscription:
        self._require_queue(queue)
        if self._maintenance is None:
            raise BrokerUnavailable("the broker is not open")
        self._consuming.supervise()
        subscription = RabbitSubscription(
            self._consuming.wait,
            queue,
            receive,
            prefetch,
            restore=self._topology.assert_all,
            forget=self._subscriptions.discard,
        )
        self._subscriptions.add(subscription)
        await subscription.start()
        return subscription

    async def depth(self, queue: str) -> int:
        self._require_queue(queue)
        return await self._topology.depth(queue)

    async def check(self) -> dict[str, float]:
        """Asserting the topology is the check, and the repair."""
        self._publisher.require()
        return self._unserved.look(await self._topology.assert_all())

    def _require_queue(self, queue: str) -> None:
        if queue not in self._queues:
            raise UnknownQueue(f"no queue {queue!r}")

    async def _prepare_publishing(self, connection: AbstractConnection) -> None:
        await self._topology.attach(connection)
        async with asyncio.timeout(self._timeout):
            await self._publisher.attach(raw_connection(connection))

    async def _maintain(self) -> None:
        """Every few seconds, and whenever the publisher's channel is lost, see that all is there:
        with a work binding gone and `history` bound, a publish would still be confirmed."""
        while True:
            try:
                async with asyncio.timeout(ASSERT_EVERY):
                    await self._look_now.wait()
            except TimeoutError:
                pass  # nothing was lost: the regular look
            self._look_now.clear()
            if not self._publishing.connected:
                continue  # connecting asserts the topology too
            try:
                await self._publisher.mend()
                self._publisher.require()
                consumers = await self._topology.assert_all()
                self._unserved.look(consumers)
                self._wake_the_deaf(consumers)
            except (*CONNECTION_ERRORS, BrokerError) as error:
                log.warning("topology_not_asserted", error=repr(error))
            except Exception:  # the next look may go better, and there has to be one
                log.exception("topology_not_asserted")

    def _wake_the_deaf(self, consumers: dict[str, int]) -> None:
        """A queue was deleted and made anew, and its consumer was never told: twice in a row the
        broker knows of none."""
        for subscription in self._subscriptions:
            subscription.is_known(consumers.get(subscription.queue, 1) > 0)


async def _as_it_is(_: AbstractConnection) -> None:
    """Consumers prepare their own channels."""
