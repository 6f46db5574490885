"""The exports store on files, its downloads, and what a large export costs."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI
from stepline.errors import Reject

from api import errors
from api.routes import exports as routes
from infra.exports import ExportsStore, ExportsUnavailable, open_exports
from tests.acceptance.conftest import ROOT


@pytest.fixture
def store(tmp_path: Path) -> ExportsStore:
    return open_exports((tmp_path / "a folder").as_uri())


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(store: ExportsStore, name: str) -> bytes:
    return b"".join([piece async for piece in store.read(name)])


async def test_what_is_written_is_read(store: ExportsStore) -> None:
    stored = await store.write("a-1.csv", pieces(b"one", b"two"))

    assert (stored.name, stored.size_bytes) == ("a-1.csv", 6)
    assert stored.location.startswith("file:///")
    assert await whole(store, "a-1.csv") == b"onetwo"
    info = await store.stat("a-1.csv")
    assert info is not None
    assert (info.size, info.content_type) == (6, "text/csv; charset=utf-8")
    assert await store.stat("b-1.csv") is None


async def test_a_broken_stream_leaves_the_earlier_file(store: ExportsStore) -> None:
    await store.write("a-1.csv", pieces(b"good"))

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise Reject("the source says no", code="said_no")

    with pytest.raises(Reject) as refused:
        await store.write("a-1.csv", broken())

    assert refused.value.code == "said_no"

    assert await whole(store, "a-1.csv") == b"good"


async def test_a_file_replaced_under_a_reader_is_never_mixed(store: ExportsStore) -> None:
    await store.write("a-1.csv", pieces(b"1" * 600_000))
    reading = store.read("a-1.csv")
    assert set(await anext(reading)) == {ord("1")}

    await store.write("a-1.csv", pieces(b"2" * 600_000))

    with pytest.raises(ExportsUnavailable):
        await anext(reading)


async def test_a_cancelled_write_leaves_the_earlier_file(store: ExportsStore) -> None:
    await store.write("a-1.csv", pieces(b"good"))
    going = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"half"
            going.set()
            await asyncio.sleep(0)

    writing = asyncio.create_task(store.write("a-1.csv", endless()))
    await going.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert await whole(store, "a-1.csv") == b"good"


async def test_checkpoints_are_no_exports(store: ExportsStore) -> None:
    await store.put_blob("task/0", b"secret")

    assert await store.get_blob("task/0") == b"secret"
    assert await store.get_blob("task/1") is None
    for name in ("../checkpoints/task/0", "task", "checkpoints"):
        assert await store.stat(name) is None
    await store.delete_blobs("task")
    assert await store.get_blob("task/0") is None


@pytest.fixture
async def http(store: ExportsStore) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    errors.install(app)
    app.include_router(routes.router)
    app.state.resources = SimpleNamespace(exports=store)
    await store.write("报告-1.txt", pieces(b"0123456789"))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


PATH = "/exports/报告-1.txt"


async def test_a_download_is_an_attachment(http: httpx2.AsyncClient) -> None:
    answer = await http.get(PATH)

    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "10"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == (
        "attachment; filename*=UTF-8''%E6%8A%A5%E5%91%8A-1.txt"
    )


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=5-2", 200, b"0123456789", None),
        ("lines=1", 200, b"0123456789", None),
    ],
)
async def test_parts(
    http: httpx2.AsyncClient, asked: str, status: int, content: bytes, told: str | None
) -> None:
    answer = await http.get(PATH, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers.get("content-range") == told


async def test_a_part_beyond_the_end(http: httpx2.AsyncClient) -> None:
    answer = await http.get(PATH, headers={"Range": "bytes=10-"})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")
    assert answer.json()["type"] == "/problems/range_not_satisfiable"


async def test_what_the_client_has_is_not_sent_again(http: httpx2.AsyncClient) -> None:
    etag = (await http.get(PATH)).headers["etag"]

    assert (await http.get(PATH, headers={"If-None-Match": etag})).status_code == 304
    assert (await http.get(PATH, headers={"If-None-Match": '"other"'})).status_code == 200
    ranged = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert (await http.get(PATH, headers=ranged)).status_code == 200
    assert (await http.get(PATH, headers=ranged | {"If-Range": etag})).status_code == 206


async def test_head_has_no_body(http: httpx2.AsyncClient) -> None:
    answer = await http.head(PATH)

    assert (answer.status_code, answer.headers["content-length"]) == (200, "10")
    assert answer.content == b""
    ranged = await http.head(PATH, headers={"Range": "bytes=2-4"})
    assert (ranged.status_code, ranged.headers["content-range"]) == (206, "bytes 2-4/10")


async def test_a_store_that_is_away_is_a_503(
    http: httpx2.AsyncClient, store: ExportsStore, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder"
    shutil.rmtree(folder)
    folder.write_text("no folder any more")

    answer = await http.get(PATH)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "/problems/exports_unavailable"


@pytest.mark.parametrize("name", ["nope.txt", "..%2Fsecret", ".hidden", "a%00b", "报" * 200])
async def test_unknown_and_hostile_names_are_404(http: httpx2.AsyncClient, name: str) -> None:
    answer = await http.get(f"/exports/{name}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


LARGE = """
import asyncio, resource, sys, time
from pathlib import Path
from stepline.contract import ChainItem
from handlers.export import export
from infra.exports import open_exports
from tests.unit.fakes import FakeContext

rows = [{"id": n, "name": f"name {n}", "email": f"user{n}@example.com", "score": n / 7}
        for n in range(100_000)]
item = ChainItem.model_validate({"request_type": "data_export",
    "data": {"payload": rows, "export_format": sys.argv[1]}})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worst = 0.0

async def tick():
    global worst
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        worst = max(worst, time.perf_counter() - began - 0.01)

async def main():
    ticking = asyncio.create_task(tick())
    ctx = FakeContext(exports=open_exports(Path(sys.argv[2]).as_uri()), idempotency_key="k")
    report = await export.run(ctx, item)
    ticking.cancel()
    return report["result"]["record_count"]

count = asyncio.run(main())
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, worst)
"""


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["json", "csv", "xml", "yaml", "txt", "xlsx"])
def test_a_hundred_thousand_rows_fit_in_200_mb(wanted: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LARGE, wanted, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    count, added, worst = done.stdout.split()

    assert int(count) == 100_000
    assert int(added) < 200
    assert float(worst) < 0.5, "the event loop goes on meanwhile"
