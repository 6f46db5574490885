"""Dramatiq on RabbitMQ, results in Redis.

Two processes of eight threads, as its command line makes by default on two cores. The `io` set-up
is `dramatiq-gevent` with 500 greenlets in one process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from driving import Driver, amqp_url, redis_url
from stored import Stored
from work import CONCURRENCY, LARGE, NUMBERS, PAUSE, STEPS, figures

# by default redis-py refuses the hundredth-odd greenlet a connection
client = redis.Redis.from_url(redis_url(), max_connections=2 * CONCURRENCY)
backend = RedisBackend(client=client)
broker = RabbitmqBroker(url=amqp_url())
broker.add_middleware(Results(backend=backend, result_ttl=3_600_000))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def tiny(numbers: list[int]) -> dict[str, Any]:
    return figures(numbers)


@dramatiq.actor(store_results=True)
def step(number: int) -> int:
    return number + 1


@dramatiq.actor(store_results=True)
def io() -> str:
    time.sleep(PAUSE)
    return "waited"


@dramatiq.actor(store_results=True)
def large(text: str) -> int:
    return len(text)


def send(kind: str) -> Any:
    if kind == "chain":
        steps = dramatiq.pipeline([step.message(0), *[step.message() for _ in range(STEPS - 1)]])
        return steps.run().messages[-1]
    actor, arguments = {"tiny": (tiny, [NUMBERS]), "io": (io, []), "large": (large, [LARGE])}[kind]
    return actor.send(*arguments)


class DramatiqDriver(Driver):
    blocking = True

    async def open(self) -> None:
        self.stored = Stored(redis_url())

    async def close(self) -> None:
        await self.stored.close()

    async def submit(self, kind: str, count: int) -> list[Any]:
        return [send(kind) for _ in range(count)]

    async def finished(self, kind: str, handles: Sequence[Any]) -> list[bool]:
        return await self.stored.exist([backend.build_message_key(handle) for handle in handles])

    async def result(self, kind: str, handle: Any) -> Any:
        return handle.get_result(block=True, timeout=30_000)

    def submit_one_blocking(self) -> str:
        return str(tiny.send(NUMBERS).message_id)

    def of_id(self, task_id: str) -> Any:
        return tiny.message(NUMBERS).copy(message_id=task_id)

    def waits(self) -> dict[str, Any]:
        async def result() -> None:
            tiny.send(NUMBERS).get_result(block=True, timeout=30_000)

        return {"result": result}


DRIVER = DramatiqDriver
WORKERS = {
    "throughput": ["dramatiq", "dramatiq_peer", "-p", "2", "-t", "8"],
    "io": f"dramatiq-gevent dramatiq_peer -p 1 -t {CONCURRENCY}".split(),
}
