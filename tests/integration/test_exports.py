"""What a reader and a writer of one export may do to each other, and a store that is away."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
from fastapi import FastAPI

from api import errors
from api.routes import exports as routes
from infra.exports import ExportsStore, ExportsUnavailable, open_exports


@pytest.fixture
def store(tmp_path: Path) -> ExportsStore:
    return open_exports((tmp_path / "a folder").as_uri())


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(store: ExportsStore, name: str) -> bytes:
    return b"".join([piece async for piece in store.read(name)])


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


async def test_a_store_that_is_away_is_a_503(
    http: httpx2.AsyncClient, store: ExportsStore, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder"
    shutil.rmtree(folder)
    folder.write_text("no folder any more")

    answer = await http.get(PATH)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "/problems/exports_unavailable"
