"""What the exports store promises wherever it keeps its files; here: on files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from infra.exports import BadExportName, ExportsStore, open_exports

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "../checkpoints/task/0",
    "a/b",
    "a\\b",
    ".hidden",
    "a\0b",
    "a\nb",
    "a..b",
    "x" * 201,
    "报" * 67,
    "%2e%2e",
    "%2e%2e%2fx",
    "-rf",
    "~",
]


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def whole(store: ExportsStore, name: str) -> bytes:
    return b"".join([piece async for piece in store.read(name)])


class StoreSuite:
    """Every implementation runs it: a subclass gives the fixture `store`, empty of these names."""

    async def test_reports_what_it_stored(self, store: ExportsStore) -> None:
        stored = await store.write("报告-1.csv", pieces(b"one,", b"", b"two"))

        assert (stored.name, stored.size_bytes) == ("报告-1.csv", 7)
        assert stored.sha256 == hashlib.sha256(b"one,two").hexdigest()
        assert stored.location.endswith("/exports/报告-1.csv")
        assert await whole(store, "报告-1.csv") == b"one,two"

    async def test_an_export_of_nothing_is_an_empty_file(self, store: ExportsStore) -> None:
        stored = await store.write("nothing.csv", pieces())

        assert stored.size_bytes == 0
        assert await whole(store, "nothing.csv") == b""

    async def test_reads_parts_across_its_chunks(self, store: ExportsStore) -> None:
        body = bytes(range(256)) * 4_000
        await store.write("large.json", pieces(body))

        assert await whole(store, "large.json") == body
        part = [piece async for piece in store.read("large.json", 262_140, 524_300)]
        assert b"".join(part) == body[262_140:524_300]

    async def test_a_later_write_replaces_the_earlier_one(self, store: ExportsStore) -> None:
        await store.write("again.txt", pieces(b"long and early"))
        first = await store.stat("again.txt")
        await store.write("again.txt", pieces(b"late"))
        second = await store.stat("again.txt")

        assert await whole(store, "again.txt") == b"late"
        assert first is not None
        assert second is not None
        assert (second.size, second.etag != first.etag) == (4, True)

    async def test_a_failing_stream_leaves_the_earlier_file(self, store: ExportsStore) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield b"half" * 2_000_000
            raise LookupError("the source went away")

        await store.write("kept.csv", pieces(b"good"))
        for name in ("kept.csv", "never.csv"):
            with pytest.raises(LookupError, match="went away"):
                await store.write(name, failing())

        assert await whole(store, "kept.csv") == b"good"
        assert await store.stat("never.csv") is None

    async def test_of_concurrent_writes_one_wins_whole(self, store: ExportsStore) -> None:
        bodies = [bytes([n]) * 300_000 for n in range(5)]
        await asyncio.gather(
            *(store.write("raced.txt", pieces(body[:100_000], body[100_000:])) for body in bodies)
        )

        assert await whole(store, "raced.txt") in bodies

    @pytest.mark.parametrize("name", HOSTILE)
    async def test_a_name_that_is_none_is_refused(self, store: ExportsStore, name: str) -> None:
        with pytest.raises(BadExportName):
            await store.write(name, pieces(b"x"))
        with pytest.raises(BadExportName):
            await anext(store.read(name))
        assert await store.stat(name) is None

    async def test_checkpoints_come_back_until_deleted(self, store: ExportsStore) -> None:
        await store.put_blob("task-1/0:export", b"one")
        await store.put_blob("task-1/1:export", b"")
        await store.put_blob("task-10/0:export", b"another task's")

        assert await store.get_blob("task-1/0:export") == b"one"
        assert await store.get_blob("task-1/1:export") == b""
        assert await store.get_blob("task-1/2:export") is None

        await store.delete_blobs("task-1")

        assert await store.get_blob("task-1/0:export") is None
        assert await store.get_blob("task-1/1:export") is None
        assert await store.get_blob("task-10/0:export") == b"another task's"

    async def test_deletes_more_checkpoints_than_a_page(self, store: ExportsStore) -> None:
        for number in range(120):
            await store.put_blob(f"long/{number}", b"x")

        await store.delete_blobs("long")

        left = [await store.get_blob(f"long/{number}") for number in range(120)]
        assert left == [None] * 120

    async def test_deleting_nothing_is_no_error(self, store: ExportsStore) -> None:
        await store.delete_blobs("never-seen")

    async def test_checkpoints_are_no_exports(self, store: ExportsStore) -> None:
        await store.put_blob("secret", b"secret")

        for name in ("secret", "checkpoints", "../checkpoints/secret", "checkpoints/secret"):
            assert await store.stat(name) is None


class TestFiles(StoreSuite):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "a folder"

    @pytest.fixture
    def store(self, folder: Path) -> ExportsStore:
        return open_exports(folder.as_uri())

    async def test_its_location_is_the_file(self, store: ExportsStore) -> None:
        stored = await store.write("报告.txt", pieces(b"here"))

        assert Path(unquote(urlsplit(stored.location).path)).read_bytes() == b"here"

    async def test_a_failing_stream_leaves_no_file_behind(
        self, store: ExportsStore, folder: Path
    ) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield b"half" * 3_000_000
            raise LookupError("the source went away")

        with pytest.raises(LookupError):
            await store.write("never.csv", failing())

        assert [path for path in folder.rglob("*") if path.is_file()] == []

    async def test_a_refused_name_makes_no_file(self, store: ExportsStore, folder: Path) -> None:
        for name in HOSTILE:
            with pytest.raises(BadExportName):
                await store.write(name, pieces(b"x"))

        assert [path for path in folder.parent.rglob("*") if path.is_file()] == []
