"""`python -m benchmarks.load URL COUNT CONNECTIONS FILE`: POSTs to /tasks/quick on keep-alive
connections; writes JSON: began, accepted (monotonic seconds), the latencies, the tasks' ids, and
the CPU seconds that this took. Into a file: of hundreds of kilobytes through a pipe, pieces were
missing now and then."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop

from benchmarks.peers.http_client import Connection, request_bytes

BODY = json.dumps({"numbers": list(range(10))}).encode()


async def load(url: str, count: int, connections: int) -> dict[str, object]:
    request = request_bytes(url, "POST", "/tasks/quick", BODY, ("Prefer: respond-async",))
    opened = [Connection(url) for _ in range(connections)]
    left = iter(range(count))
    latencies: list[float] = []
    answers: list[tuple[int, bytes]] = []

    async def drive(connection: Connection) -> None:
        for _ in left:
            began = time.perf_counter()
            answers.append(await connection.request(request))
            latencies.append(1000 * (time.perf_counter() - began))

    began = time.monotonic()
    await asyncio.gather(*[drive(connection) for connection in opened])
    accepted = time.monotonic()
    for connection in opened:
        connection.close()
    refused = [status for status, _ in answers if status != 202]
    return {
        "began": began,
        "accepted": accepted,
        "milliseconds": latencies,
        "refused": len(refused),
        "ids": [json.loads(body)["task_id"] for status, body in answers if status == 202],
        "cpu": time.process_time(),
    }


if __name__ == "__main__":
    answer = uvloop.run(load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    Path(sys.argv[4]).write_text(json.dumps(answer))
