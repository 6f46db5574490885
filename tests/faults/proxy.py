"""A TCP proxy that can be told to misbehave, to stand between Stepline and its services.

It has a thread and a loop of its own, so that it goes on while a test blocks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

HOST = "127.0.0.1"
CHUNK = 65_536

Direction = Literal["up", "down"]
"""`up` is from the client to the service."""

T = TypeVar("T")


@dataclass
class _Lane:
    """What is done to the bytes of one direction."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    delay: float = 0.0
    rate: float = 0.0

    def heal(self) -> None:
        self.delay = self.rate = 0.0
        self.open.set()


class Proxy:
    """Listens on `port` and passes everything on to the service, until told otherwise.

    The faults add up, and last until `heal`. What a held connection was sent meanwhile arrives
    after that, as TCP would have it.
    """

    def __init__(self, service_port: int) -> None:
        self._service_port = service_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._lanes: dict[Direction, _Lane] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._refusing = False
        self.port = 0
        self.accepted = 0
        """Connections taken so far."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End every connection there is, at once; new ones are welcome."""
        self._run(self._cut())

    def refuse(self) -> None:
        """As if nothing listened any more: end every connection, and each new one."""
        self._refusing = True
        self.cut()

    def hang(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self.half_open("up")
        self.half_open("down")

    def half_open(self, silent: Direction) -> None:
        """Pass nothing on in one direction."""
        self._call(self._lanes[silent].open.clear)

    def delay(self, seconds: float) -> None:
        """Hold every piece that passes for so long, in both directions."""
        self._call(lambda: [setattr(lane, "delay", seconds) for lane in self._both()])

    def throttle(self, bytes_per_second: float) -> None:
        self._call(lambda: [setattr(lane, "rate", bytes_per_second) for lane in self._both()])

    def heal(self) -> None:
        """Be a good proxy again."""
        self._refusing = False
        self._call(lambda: [lane.heal() for lane in self._both()])

    def _both(self) -> list[_Lane]:
        return list(self._lanes.values())

    def _call(self, change: Any) -> None:
        async def do() -> None:
            change()

        self._run(do())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._lanes = {"up": _Lane(), "down": _Lane()}
        for lane in self._both():
            lane.open.set()
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        await self._server.wait_closed()

    async def _cut(self) -> None:
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.accepted += 1
        ends = [writer]
        try:
            if self._refusing:
                return
            there, back = await asyncio.open_connection(HOST, self._service_port)
            ends.append(back)
            pumps = [
                asyncio.create_task(self._pump(reader, back, self._lanes["up"])),
                asyncio.create_task(self._pump(there, writer, self._lanes["down"])),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the service is away, or we were told to cut
        finally:
            for end in ends:
                end.transport.abort()
            self._connections.discard(task)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lane: _Lane
    ) -> None:
        while data := await source.read(CHUNK):
            await lane.open.wait()
            if lane.delay:
                await asyncio.sleep(lane.delay)
            if lane.rate:
                await asyncio.sleep(len(data) / lane.rate)
            sink.write(data)
            await sink.drain()
