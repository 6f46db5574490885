"""What a large export costs the process that makes it: memory, and the event loop's patience."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = 100_000
MEGABYTES = 200
LOOP_WORK = 0.05
"""Seconds of CPU that the event loop's own thread may spend between two of its turns: what other
processes and threads take from a busy machine does not count, so the bound can be strict."""
STALL = 0.5
"""Seconds of CPU of the whole process between two turns: a thread that never lets the loop have the
interpreter is seen here. Generous, as a loaded machine may run the other threads first."""

MEASURED = """
import asyncio, json, os, resource, sys, time
from pathlib import Path

from stepline.contract import ChainItem

from handlers.export import export
from infra.exports import open_exports
from tests.unit.fakes import FakeContext

wanted, folder, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
payload = [
    {"id": n, "name": f"名字 {n}", "email": f"user{n}@example.com", "score": n / 7, "tags": ["a"]}
    for n in range(rows)
]
data = {"payload": payload, "export_format": wanted}
item = ChainItem.model_validate({"request_type": "data_export", "data": data})


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def ticking(stalls):
    while True:
        began = time.thread_time(), time.process_time()
        await asyncio.sleep(0.005)
        stalls.append((time.thread_time() - began[0], time.process_time() - began[1]))


async def main():
    stalls = []
    ticker = asyncio.create_task(ticking(stalls))
    before = peak()
    context = FakeContext(exports=open_exports(folder.as_uri()))
    report = await export.run(context, item)
    added = peak() - before
    ticker.cancel()
    own, whole = zip(*stalls)
    count = report["result"]["record_count"]
    measured = {"added": added, "ticks": len(stalls), "own": max(own), "stall": max(whole)}
    print(json.dumps({"count": count, **measured}))


asyncio.run(main())
sys.stdout.flush()
os._exit(0)  # now and then a thread of the storage library aborts an interpreter that is ending
"""


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["json", "csv", "xml", "yaml", "txt", "xlsx"])
def test_a_hundred_thousand_rows(wanted: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, wanted, str(tmp_path), str(ROWS)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)

    assert measured["count"] == ROWS
    assert measured["added"] <= MEGABYTES, measured
    assert measured["ticks"] > 5, "the loop was watched"
    assert measured["own"] < LOOP_WORK, measured
    assert measured["stall"] < STALL, measured
