"""A serving API in the test's loop, tasks held by the test, and bare sockets that read streams."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uuid_utils
from fastapi import FastAPI
from stepline.contract import EventKind, Status

from api.app import create_app
from api.server import Server, listen, make_server
from handlers.plugins import full_registry
from infra.codec import dumps, now
from infra.envelope import TaskMessage
from infra.resources import Resources, open_resources
from infra.settings import Settings
from infra.state.models import EventId, NewEvent, Yours
from tests.waiting import wait_for

QUEUE = "quick_tasks"


@dataclass
class Api:
    """A serving API without workers."""

    port: int
    app: FastAPI
    server: Server
    resources: Resources
    streams: list[Stream] = field(default_factory=list)

    async def task(self) -> RunningTask:
        message = TaskMessage(
            id=str(uuid_utils.uuid7()),
            type="quick",
            handlers=("quick",),
            payload={"numbers": [1]},
            created_at=now(),
        )
        await self.resources.state.submit(QUEUE, message)
        claim = await self.resources.state.claim(QUEUE, message, token="token", worker="w@a:1")
        assert isinstance(claim, Yours)
        return RunningTask(self.resources, message.id)

    async def stream(self, path: str, last: str | None = None, **options: Any) -> Stream:
        stream = await Stream.open(self.port, path, last, **options)
        self.streams.append(stream)
        return stream


@dataclass
class RunningTask:
    """A task whose worker is the test: events 0-1 and 1-1 are there."""

    resources: Resources
    id: str
    seq: int = 1

    @property
    def path(self) -> str:
        return f"/tasks/{self.id}/events"

    async def write(self, *texts: str, drop: Sequence[EventId] = ()) -> None:
        events = []
        for text in texts:
            self.seq += 1
            body = {"task_id": self.id, "kind": EventKind.STEP_OUTPUT, "attempt": 1, "data": text}
            body["at"] = "2026-01-01T00:00:00Z"
            events.append(NewEvent((1, self.seq), EventKind.STEP_OUTPUT, dumps(body)))
        written = await self.resources.state.write(self.id, "token", events=events, drop=drop)
        assert written == "ok"

    async def end(self) -> None:
        self.seq += 1
        body = {"task_id": self.id, "kind": "succeeded", "attempt": 1, "at": "2026-01-01T00:00:00Z"}
        event = NewEvent((1, self.seq), EventKind.SUCCEEDED, dumps(body))
        fields = {"status": Status.SUCCESS, "result": b"1"}
        await self.resources.state.settle(self.id, "token", events=[event], fields=fields)


class Stream:
    """An open stream over a bare socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._text = b""

    @classmethod
    async def open(
        cls, port: int, path: str, last: str | None, *, receive_buffer: int | None = None
    ) -> Stream:
        bare = socket.socket()
        if receive_buffer is not None:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        bare.setblocking(False)
        await asyncio.get_running_loop().sock_connect(bare, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=bare, limit=4096)
        stream = cls(reader, writer)
        await stream.ask(path, last)
        return stream

    async def ask(self, path: str, last: str | None = None) -> None:
        resume = f"Last-Event-ID: {last}\r\n" if last else ""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n".encode())
        await self.writer.drain()
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head

    async def part(self) -> bytes:
        """The next HTTP chunk; empty at the end of the response."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        body = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def frame(self, timeout: float = 10.0) -> dict[str, Any]:
        """The next event; its data is read."""
        async with asyncio.timeout(timeout):
            while True:
                block, found, rest = self._text.partition(b"\n\n")
                if not found:
                    part = await self.part()
                    if not part:
                        raise EOFError
                    self._text += part
                    continue
                self._text = rest
                fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
                if "event" in fields:
                    return fields | {"data": json.loads(fields["data"])}

    async def ids(self, count: int) -> list[str]:
        return [(await self.frame())["id"] for _ in range(count)]

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[Api]:
    with listen("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        server = make_server(app, "127.0.0.1", port)
        running = asyncio.create_task(server.serve(sockets=[bound]))
        await wait_for(lambda: server.started)
        made = Api(port, app, server, app.state.resources)
        try:
            yield made
        finally:
            for stream in made.streams:
                await stream.close()
            server.leave()
            await running


@asynccontextmanager
async def serving_api(folder: Path) -> AsyncIterator[Api]:
    """An API over the embedded parts, without workers."""
    settings = Settings(data_dir=folder)
    opening = open_resources(settings, kind="test", queues=(QUEUE,))
    async with serving(create_app(settings, full_registry(), opening)) as api:
        yield api
