"""The exports store on object storage, against an S3-compatible server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from stepline.errors import Retry

from infra.exports import ExportsStore, ExportsUnavailable, open_exports
from infra.services.ports import free_port
from tests.integration.test_exports_store import StoreSuite
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port), "-H", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture
async def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> ExportsStore:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    async with httpx2.AsyncClient() as http:

        async def made() -> bool:
            try:
                return (await http.put(f"{endpoint}/bucket")).status_code == 200
            except httpx2.TransportError:
                return False

        await wait_for(made, timeout=30)
    return open_exports("s3://bucket/some/prefix")


class TestObjectStorage(StoreSuite):
    """All that holds on files holds here."""


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(store: ExportsStore, name: str) -> bytes:
    return b"".join([piece async for piece in store.read(name)])


async def test_what_is_written_is_read(store: ExportsStore) -> None:
    large = b"x" * 6_000_000  # more than one part of a multipart upload
    stored = await store.write("报告-1.csv", pieces(b"head,", large))

    assert (stored.size_bytes, stored.location) == (
        6_000_005,
        "s3://bucket/some/prefix/exports/报告-1.csv",
    )
    info = await store.stat("报告-1.csv")
    assert info is not None
    assert (info.size, info.content_type) == (6_000_005, "text/csv; charset=utf-8")
    assert info.etag
    assert await whole(store, "报告-1.csv") == b"head," + large
    assert b"".join([part async for part in store.read("报告-1.csv", 3, 7)]) == b"d,xx"
    assert await store.stat("other.csv") is None


async def test_a_broken_stream_leaves_nothing(store: ExportsStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("the source went away")

    with pytest.raises(Exception, match="went away"):
        await store.write("broken.csv", broken())

    assert await store.stat("broken.csv") is None


async def test_a_cancelled_write_leaves_nothing_in_the_bucket(
    store: ExportsStore, endpoint: str
) -> None:
    """Parts of an upload that was never ended are invisible, and paid for."""

    async def unfinished() -> int:
        async with httpx2.AsyncClient() as http:
            return (await http.get(f"{endpoint}/bucket?uploads")).text.count("<Upload>")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    writing = asyncio.create_task(store.write("endless.csv", endless()))
    await wait_for(unfinished)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert await unfinished() == 0
    assert await store.stat("endless.csv") is None


async def test_checkpoints(store: ExportsStore) -> None:
    await store.put_blob("task/0", b"kept")

    assert await store.get_blob("task/0") == b"kept"
    await store.delete_blobs("task")
    assert await store.get_blob("task/0") is None


async def test_a_store_that_is_away_is_a_transient_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    store = open_exports("s3://bucket")

    with pytest.raises(Retry) as failed:
        await store.write("a-1.csv", pieces(b"x"))

    assert failed.value.code == "exports_failed"
    with pytest.raises(ExportsUnavailable):
        await store.stat("a-1.csv")
    with pytest.raises(Retry):
        await store.get_blob("task/0")
