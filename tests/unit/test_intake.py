"""What a process takes from a queue, while it opens and closes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from infra.broker.base import Broker, Delivery, Message, Receive
from tests.waiting import wait_for
from workers.intake import Intake


@dataclass(eq=False)
class Given:
    """A delivery whose release takes as long as the test lets it."""

    name: str
    queue: str = "quick_tasks"
    count: int = 0
    message: Message = field(default_factory=lambda: Message("envelope", b""))
    released: bool = False
    may_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def ack(self) -> None: ...

    async def release(self) -> None:
        self.released = True
        await self.may_go.wait()


class Consumer:
    """A broker with one consumer, as far as an intake sees it."""

    async def consume(self, _queue: str, receive: Receive, *, prefetch: int) -> Consumer:
        self.receive, self.prefetch = receive, prefetch
        return self

    async def cancel(self) -> None: ...

    async def close(self) -> None: ...


async def test_what_begins_while_others_are_given_back_runs_to_its_end() -> None:
    begun: list[str] = []
    ended: list[str] = []
    gates = {name: asyncio.Event() for name in "abc"}

    async def process(delivery: Delivery) -> None:
        name = cast(Given, delivery).name
        begun.append(name)
        await gates[name].wait()
        ended.append(name)

    consumer: Any = Consumer()
    intake = Intake(
        cast(Broker, consumer),
        "quick_tasks",
        process,
        lambda _delivery: False,
        concurrency=1,
        prefetch=3,
    )
    await intake.open()
    a, b, c = (Given(name) for name in "abc")
    for delivery in (a, b, c):
        consumer.receive(delivery)
    await wait_for(lambda: begun == ["a"])

    closing = asyncio.create_task(intake.close())
    await wait_for(lambda: c.released)  # the newest first; it takes its time
    gates["a"].set()
    await wait_for(lambda: begun == ["a", "b"])
    c.may_go.set()
    await closing
    gates["b"].set()

    await wait_for(lambda: ended == ["a", "b"])
    assert (a.released, b.released) == (False, False)
    await intake.stop()
