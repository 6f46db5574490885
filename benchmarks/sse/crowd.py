"""Thousands of EventSources on one event loop: raw sockets, as little work for each byte as can be.

Each behaves as a browser does: it comes back after the `retry` that it was told, with the id of the
last event it has seen.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import cast

from infra.services.ports import HOST

NUMBERED = re.compile(rb'"n":(\d+),"sent":(\d+)')
RETRY = re.compile(rb"retry: ?(\d+)")
DEFAULT_RETRY = 3.0
"""Seconds that browsers wait when they were told nothing."""

CONNECTING = 200
"""Connections that are made at a time."""


class Crowd:
    """All viewers of a measurement, and what they saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.viewers: list[Viewer] = []
        self.measuring = False
        self.latencies: list[int] = []
        """Nanoseconds from the event's writing to its arrival."""
        self.delivered = 0
        self.gaps = 0
        self.repeats = 0
        self.pings = 0
        self.statuses: Counter[int] = Counter()
        self.refused = 0
        self.come_back = False

    @property
    def connected(self) -> int:
        return sum(viewer.streaming for viewer in self.viewers)

    async def gather(self, task_ids: Sequence[str], count: int) -> None:
        """`count` viewers, spread over the tasks; returns when all of their streams are open."""
        added = [Viewer(self, task_ids[place % len(task_ids)]) for place in range(count)]
        self.viewers += added
        gate = asyncio.Semaphore(CONNECTING)

        async def connect(viewer: Viewer) -> None:
            async with gate:
                await viewer.connect()
                await asyncio.wait_for(viewer.opened.wait(), 60)

        await asyncio.gather(*(connect(viewer) for viewer in added), return_exceptions=True)

    def leave(self) -> None:
        self.come_back = False
        for viewer in self.viewers:
            viewer.close()

    def reset(self) -> None:
        """Begin to measure anew."""
        self.latencies = []
        self.delivered = self.gaps = self.repeats = self.pings = 0


class Viewer(asyncio.Protocol):
    """One EventSource."""

    def __init__(self, crowd: Crowd, task_id: str) -> None:
        self._crowd = crowd
        self._path = f"/tasks/{task_id}/events"
        self._transport: asyncio.Transport | None = None
        self._last = b""
        self._tail = b""
        self._retry = DEFAULT_RETRY
        self._number = -1
        self._again: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.streaming = False
        self.opened = asyncio.Event()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, HOST, self._crowd.port)
        except OSError:
            self._crowd.refused += 1
            self._later()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        event_id = _last_id(self._last)
        resume = f"Last-Event-ID: {event_id}\r\n" if event_id else ""
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Accept: text/event-stream\r\n{resume}\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        crowd = self._crowd
        if not self.opened.is_set():
            self._begin(data)
        if self._tail:
            data = self._tail + data
        whole = data.rfind(b"\n\n") + 2
        self._tail = data[whole:] if 1 < whole < len(data) else b""
        found = NUMBERED.findall(data, 0, whole)
        if not found:
            crowd.pings += data.count(b": ping")
            return
        self._last = data
        now = time.monotonic_ns()
        for number, sent in found:
            n = int(number)
            if n != self._number + 1 and self._number >= 0:
                crowd.gaps += n > self._number
                crowd.repeats += n <= self._number
            self._number = n
            crowd.delivered += 1
            if crowd.measuring:
                crowd.latencies.append(now - int(sent))

    def _begin(self, data: bytes) -> None:
        status = int(data[9:12])
        self._crowd.statuses[status] += 1
        if retry := RETRY.search(data):
            self._retry = int(retry[1]) / 1000
        self.streaming = status == 200
        self.opened.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.streaming, self._tail = False, b""
        self.opened.clear()
        self._later()

    def _later(self) -> None:
        if self._crowd.come_back:
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(self._retry, self._reconnect)

    def _reconnect(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.connect())

    def stall(self) -> None:
        """Read no more, and let the kernel take little."""
        assert self._transport is not None
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._transport.pause_reading()

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        if self._transport is not None:
            self._transport.abort()


def _last_id(data: bytes) -> str:
    """The id of the last whole event in `data`, if it had one."""
    end = data.rfind(b"\n\n")
    at = data.rfind(b"id: ", 0, end if end > 0 else len(data))
    return data[at + 4 : data.index(b"\n", at)].strip().decode() if at >= 0 else ""
