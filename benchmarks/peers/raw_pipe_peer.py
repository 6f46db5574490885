"""The limit: confirmed publish to a quorum queue, consume, ack; one message a task, and no work.

No library of tasks: aiormq alone, 500 messages in flight either way. How far the consumer is, is in
a few shared bytes.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiormq
import uvloop
from driving import Driver, amqp_url
from work import LARGE

QUEUE = "raw_pipe"
IN_FLIGHT = 500
BODIES = {"tiny": b"x" * 120, "large": LARGE.encode()}


class Counter:
    """How many messages have been consumed and acked, in a file that both processes map."""

    def __init__(self) -> None:
        path = Path(os.environ["BENCH_COUNTER"])
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 8)

    def set(self, count: int) -> None:
        self._bytes[:] = struct.pack("q", count)

    def get(self) -> int:
        return int(struct.unpack("q", self._bytes[:])[0])


async def open_channel() -> Any:
    connection = await aiormq.connect(amqp_url())
    channel = await connection.channel(publisher_confirms=True)
    await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    return channel


async def consume() -> None:
    """The worker."""
    channel, counter, count = await open_channel(), Counter(), 0
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def take(message: Any) -> None:
        nonlocal count
        await channel.basic_ack(message.delivery.delivery_tag)
        count += 1
        counter.set(count)

    await channel.basic_qos(prefetch_count=IN_FLIGHT)
    await channel.basic_consume(QUEUE, take)
    await stop.wait()


class RawPipeDriver(Driver):
    returns_results = False

    async def open(self) -> None:
        self._channel, self._counter, self._sent = await open_channel(), Counter(), 0
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def close(self) -> None:
        await self._channel.close()

    async def submit(self, kind: str, count: int) -> list[int]:
        await asyncio.gather(*[self._publish(BODIES[kind]) for _ in range(count)])
        first, self._sent = self._sent + 1, self._sent + count
        return list(range(first, self._sent + 1))

    async def _publish(self, body: bytes) -> None:
        properties = aiormq.spec.Basic.Properties(delivery_mode=2)
        async with self._slots:
            await self._channel.basic_publish(
                body, exchange="", routing_key=QUEUE, properties=properties
            )

    async def finished(self, kind: str, handles: Sequence[int]) -> list[bool]:
        count = self._counter.get()
        return [handle <= count for handle in handles]

    def of_id(self, task_id: str) -> int:
        return int(task_id)

    async def result(self, kind: str, handle: int) -> None:
        raise NotImplementedError("the raw pipe has no results")

    def waits(self) -> dict[str, Any]:
        async def consumed() -> None:
            (handle,) = await self.submit("tiny", 1)
            while self._counter.get() < handle:  # noqa: ASYNC110  (another process counts)
                await asyncio.sleep(0.0002)

        return {"consumed": consumed}


DRIVER = RawPipeDriver
WORKERS = {"throughput": ["python", "raw_pipe_peer.py"]}

if __name__ == "__main__":
    uvloop.run(consume())
