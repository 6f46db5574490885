"""The broker's port: what the service asks of RabbitMQ, and of the memory broker.

A publish that returns was confirmed: the message is on disk in every queue it went to (`memory://`:
see `confirms_history`). A publish that raises `PublishUnconfirmed` may still have arrived.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from stepline.errors import SteplineError

HeaderValue = str | int
"""No floats: RabbitMQ's client sends them in 32 bits."""


class BrokerError(SteplineError):
    """Root of what a broker raises."""

    code = "broker_error"


class BrokerUnavailable(BrokerError):
    """No connection now, or the broker refused the message: it is surely nowhere."""

    code = "broker_unavailable"


class PublishUnconfirmed(BrokerError):
    """No confirm came in time: whether the message arrived is unknown."""

    code = "publish_unconfirmed"


class Unroutable(BrokerError):
    """No queue took the message: the topology is not what it must be."""

    code = "unroutable"


class UnknownQueue(BrokerError):
    """The topology has no queue of this name."""

    code = "unknown_queue"


class StaleDelivery(BrokerError):
    """The delivery was settled before, or its channel is gone and the broker delivers it again."""

    code = "stale_delivery"


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: `kind` says how to read `body` (`envelope`, `record`, `dead`).

    `correlation_id` is for people (a task id). `headers` are the message's own; brokers add none
    that `Message` shows.
    """

    kind: str
    body: bytes
    correlation_id: str | None = None
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)


class Delivery(Protocol):
    """One message handed to a consumer, until it is settled once."""

    message: Message
    queue: str
    count: int
    """How often the broker gave this message to a consumer before (0 the first time)."""

    async def ack(self) -> None:
        """Done. Raises `StaleDelivery`."""
        ...

    async def release(self) -> None:
        """Not done: back to the front of the queue. Raises `StaleDelivery`."""
        ...


Receive = Callable[[Delivery], None]
"""Takes a delivery over. Called on the event loop; must not block and must not raise."""


class Subscription(Protocol):
    """A running consumer."""

    async def cancel(self) -> None:
        """Stop new deliveries. Those not settled stay with the consumer until it closes."""
        ...

    async def close(self) -> None:
        """Stop, and give everything unsettled back to the queue."""
        ...


class Broker(ABC):
    """One process's way to one set of queues, as the topology names them."""

    confirms_history: bool = False
    """True where `accept` returns only after the history consumer has acknowledged its copy."""

    @abstractmethod
    async def open(self) -> None:
        """Connect and assert the topology. Raises `BrokerUnavailable`, or another `BrokerError`
        that says which queue is there already with other properties."""

    @abstractmethod
    async def close(self) -> None:
        """Close everything; what was not acknowledged goes back to its queue."""

    @abstractmethod
    async def accept(self, queue: str, message: Message) -> None:
        """First acceptance: through the tasks exchange into `queue` and `history`, one confirm.

        `scheduled` in the place of a queue reaches `history` alone. Raises, as `send` and
        `announce` do, `BrokerUnavailable`, `Unroutable` or `PublishUnconfirmed`.
        """

    @abstractmethod
    async def send(self, queue: str, message: Message, *, delay: float = 0.0) -> None:
        """Straight to `queue`; with a `delay` in seconds by way of the ladder.

        The ladder's rungs are powers of two from 0.25 s: a delay is rounded down to one (to at
        least the lowest), and who receives the message early sends it on for the rest.
        """

    @abstractmethod
    async def announce(self, routing_key: str, *messages: Message) -> None:
        """Tell whoever has bound a queue to the events exchange; fine if nobody has."""

    @abstractmethod
    async def consume(self, queue: str, receive: Receive, *, prefetch: int) -> Subscription:
        """Deliver messages of `queue` to `receive`, at most `prefetch` unsettled at once.

        Goes on by itself after a lost connection. Each subscription has a channel of its own.
        Raises `UnknownQueue`, or `BrokerUnavailable` when the broker is not open.
        """

    @abstractmethod
    async def depth(self, queue: str) -> int:
        """Messages ready in `queue` (not those handed out). May lag by a moment. Raises
        `UnknownQueue` or `BrokerUnavailable`."""

    @abstractmethod
    async def check(self) -> Mapping[str, float]:
        """The queues that nobody consumes, and for how many seconds that has been seen. Raises a
        `BrokerError` unless messages could be accepted now (connection and bindings)."""
