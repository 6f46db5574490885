"""A network that fails where it hurts: after the service has done what it was asked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

DROP = "drop"
"""Pass the request on; when the answer comes, break the connection in its place."""

REFUSE = "refuse"
"""Break the connection before anything is passed on."""

AMBIGUOUS = "503"
"""Pass the request on; when the answer comes, give a 503 in its place."""

PASS = "pass"

ANSWER_503 = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 0\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
)
PROBLEM = (
    b'{"type": "/problems/publish_unconfirmed", "title": "t", "status": 503, "detail": "unknown"}'
)


class Network:
    """What happens to the next connections, one after the other; after these, `then`. An int
    passes so many bytes of the answer on, and breaks the connection."""

    def __init__(self, *happenings: str | int, then: str | int = PASS) -> None:
        self.happenings = list(happenings)
        self.then = then
        self.connections = 0
        self.passed = bytearray()
        """What of all answers got through."""

    def next(self) -> str | int:
        self.connections += 1
        return self.happenings.pop(0) if self.happenings else self.then


@asynccontextmanager
async def unreliable(url: str, network: Network) -> AsyncIterator[str]:
    """The address of a way to `url` that goes through `network`."""
    parts = urlsplit(url)

    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _serve(network, reader, writer, str(parts.hostname), int(parts.port or 80))
        except OSError:
            pass  # one of the two has gone
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


async def _serve(
    network: Network,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    port: int,
) -> None:
    happening = network.next()
    if happening == REFUSE:
        return
    upstream, to_upstream = await asyncio.open_connection(host, port)
    asking = asyncio.create_task(_relay(reader, to_upstream))
    try:
        if happening in (DROP, AMBIGUOUS):
            await upstream.read(1)  # the service has answered
            if happening == AMBIGUOUS:
                writer.write(ANSWER_503 % (len(PROBLEM), PROBLEM))
                await writer.drain()
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
            return
        limit = happening if isinstance(happening, int) else None
        await _relay(upstream, writer, limit, network.passed)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        to_upstream.transport.abort()
        with suppress(OSError):
            await to_upstream.wait_closed()


async def _relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    limit: int | None = None,
    record: bytearray | None = None,
) -> None:
    passed = 0
    while data := await reader.read(65_536):
        if limit is not None:
            data = data[: limit - passed]
        writer.write(data)
        await writer.drain()
        if record is not None:
            record += data
        passed += len(data)
        if limit is not None and passed >= limit:
            return
