"""How long it takes from an event to all screens, with many viewers on one dashboard process.

Viewers are sockets that speak as a browser does: they get the page, connect, and take what comes;
drawing is not in it. `python -m benchmarks.dashboard [VIEWERS] [TASKS]`
"""

from __future__ import annotations

import asyncio
import re
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import aiohttp
import httpx2

from tests.acceptance.conftest import until_healthy
from tests.browser.conftest import dashboard_process, deployed

PACE = 0.5
"""Seconds between two tasks."""

LATEST = 20.0
TASK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
CLIENT_ID = re.compile(r"'client_id': '([0-9a-f-]{36})'")


@dataclass
class Viewer:
    """One open list of tasks."""

    page: float = 0.0
    heard: dict[str, float] = field(default_factory=dict)
    reading: asyncio.Task[None] | None = None

    async def open(self, session: aiohttp.ClientSession, url: str) -> None:
        began = time.perf_counter()
        # browsers never upgrade a connection that served a page; pools of clients do
        async with session.get(f"{url}/tasks", headers={"Connection": "close"}) as answer:
            text = await answer.text()
        self.page = time.perf_counter() - began
        found = CLIENT_ID.search(text)
        assert found is not None, "the page names no client"
        query = {
            "client_id": found[1],
            "next_message_id": "0",
            "implicit_handshake": "true",
            "document_id": str(uuid4()),
            "tab_id": str(uuid4()),
            "EIO": "4",
            "transport": "websocket",
        }
        path = f"{url}/_nicegui_ws/socket.io/"
        socket = await session.ws_connect(path, params=query, max_msg_size=0)
        await socket.receive()
        await socket.send_str("40")
        self.reading = asyncio.create_task(self._read(socket))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            now = time.perf_counter()
            if message.data == "2":  # a ping of engine.io
                await socket.send_str("3")
            elif isinstance(message.data, str):
                for task_id in TASK_ID.findall(message.data):
                    self.heard.setdefault(task_id, now)


async def measure(api: str, url: str, viewers: int, tasks: int) -> None:
    connector = aiohttp.TCPConnector(limit=0)  # a socket for each
    async with aiohttp.ClientSession(connector=connector) as session:
        crowd = [Viewer() for _ in range(viewers)]
        began = time.perf_counter()
        for start in range(0, viewers, 8):
            await asyncio.gather(*(item.open(session, url) for item in crowd[start : start + 8]))
        opened = time.perf_counter() - began
        sent: dict[str, float] = {}
        async with httpx2.AsyncClient(base_url=api, timeout=30) as client:
            for number in range(tasks):
                await asyncio.sleep(PACE)
                answer = await client.post(
                    "/tasks/long", json={"duration": 2, "task_name": f"Seen {number}"}
                )
                sent[answer.json()["task_id"]] = time.perf_counter()
        deadline = time.perf_counter() + LATEST
        while time.perf_counter() < deadline:
            if all(sent.keys() <= item.heard.keys() for item in crowd):
                break
            await asyncio.sleep(0.05)
        delays = sorted(
            item.heard[task_id] - at
            for item in crowd
            for task_id, at in sent.items()
            if task_id in item.heard
        )
        pages = sorted(item.page for item in crowd)
        expected = viewers * tasks
        print(f"viewers                     {viewers}, opened in {opened:.1f} s")
        print(f"page, first byte to last    p50 {statistics.median(pages) * 1000:.0f} ms")
        print(f"rows heard of               {len(delays)} of {expected}")
        for share in (0.5, 0.95, 0.99, 1.0):
            at = delays[min(len(delays) - 1, int(share * len(delays)))]
            print(f"202 to the screen's socket  p{share * 100:<3.0f} {at * 1000:.0f} ms")


def main() -> None:
    viewers = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    tasks = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        made = deployed(Path(folder), stack)
        until_healthy(made)
        url = stack.enter_context(dashboard_process(made))
        asyncio.run(measure(made.url, url, viewers, tasks))


if __name__ == "__main__":
    main()
