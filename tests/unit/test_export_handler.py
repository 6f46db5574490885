"""The export step: what it writes where, and what it reports."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import pytest
from stepline.authoring import StoredExport
from stepline.contract import ChainItem
from stepline.errors import Reject

from handlers.export import export, export_name
from infra.exports import BadExportName, validate_name
from tests.unit.fakes import FakeContext


class Memory:
    """An exports store that keeps its files in a dict."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> StoredExport:
        body = b"".join([chunk async for chunk in chunks])
        self.files[validate_name(name)] = body
        digest = hashlib.sha256(body).hexdigest()
        return StoredExport(name, f"memory/{name}", len(body), digest)


async def run(data: dict[str, Any], **context: Any) -> tuple[dict[str, Any], Memory]:
    store = Memory()
    item = ChainItem.model_validate({"request_type": "data_export", "data": data})
    ctx = FakeContext(exports=store, idempotency_key="task:0:export", **context)
    return await export.run(ctx, item), store


async def test_json_is_the_default_and_the_report_says_all() -> None:
    report, store = await run({"payload": {"a": 1}})

    result = report["result"]
    assert set(result) == {
        "format",
        "filename",
        "location",
        "size_bytes",
        "record_count",
        "sha256",
        "exported_at",
        "download",
    }
    body = store.files[result["filename"]]
    assert (result["format"], result["record_count"], result["size_bytes"]) == (
        "json",
        1,
        len(body),
    )
    assert result["download"] == f"/exports/{result['filename']}"
    assert result["sha256"] == hashlib.sha256(body).hexdigest()


async def test_the_config_s_format_goes_before_the_plain_one() -> None:
    report, _ = await run(
        {"payload": [{"a": 1}], "export_format": "json", "export_config": {"format": "csv"}}
    )

    assert report["result"]["format"] == "csv"


async def test_what_an_earlier_step_changed_is_exported() -> None:
    outputs = {"transformation": {"changes": True, "payload": {"a": "CHANGED"}}}
    report, store = await run({"payload": {"a": "b"}}, outputs=outputs)

    assert b"CHANGED" in store.files[report["result"]["filename"]]


@pytest.mark.parametrize("payload", [{}, [], [{}]])
@pytest.mark.parametrize("wanted", ["json", "csv", "xml", "yaml", "txt", "xlsx"])
async def test_emptiness_is_no_error(payload: Any, wanted: str) -> None:
    report, _ = await run({"payload": payload, "export_format": wanted})

    assert report["status"] == "success"


async def test_what_cannot_be_written_is_reported_and_final() -> None:
    data = {"payload": {"a": "x" * 40_000}, "export_format": "xlsx"}
    with pytest.raises(Reject) as refused:
        await run(data)

    assert refused.value.code == "export_failed"
    assert refused.value.output["status"] == "failed"
    assert "32,767" in refused.value.output["errors"][0]["error"]


@pytest.mark.parametrize("wanted", ["json", "csv", "xml", "yaml", "txt", "xlsx"])
async def test_a_large_export_tells_how_far_it_is(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.export.TURN", 0.0)  # the clock has no say in a test
    ctx = FakeContext(exports=Memory())
    rows = [{"id": n, "text": "x" * 400} for n in range(2_000)]
    data = {"payload": rows, "export_format": wanted}

    await export.run(ctx, ChainItem.model_validate({"request_type": "data_export", "data": data}))

    told = [call.current for call in ctx.progressed]
    assert told == sorted(told)
    assert any(0 < done < 2_000 for done in told)
    assert ctx.progressed[-1] == (2_000, 2_000, "2,000 of 2,000 records")


async def test_a_small_export_is_done_before_anyone_asks() -> None:
    ctx = FakeContext(exports=Memory())
    data = {"payload": [{"a": 1}] * 3}

    await export.run(ctx, ChainItem.model_validate({"request_type": "data_export", "data": data}))

    assert ctx.progressed == []


async def test_a_large_list_is_a_stream_of_pieces() -> None:
    sizes: list[int] = []

    class Sizes(Memory):
        async def write(self, name: str, chunks: AsyncIterable[bytes]) -> StoredExport:
            async def seen() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    sizes.append(len(chunk))
                    yield chunk

            return await super().write(name, seen())

    rows = [{"text": "x" * 1_000} for _ in range(3_000)]
    data = {"payload": rows, "export_format": "csv"}
    item = ChainItem.model_validate({"request_type": "data_export", "data": data})
    await export.run(FakeContext(exports=Sizes()), item)

    assert sum(sizes) > 3_000_000
    assert max(sizes) < 1_000_000


def test_a_repetition_writes_the_same_file_and_another_step_another() -> None:
    first = export_name("task:1:export", None, "csv")

    assert first == export_name("task:1:export", None, "csv")
    assert first != export_name("task:2:export", None, "csv")


@pytest.mark.parametrize(
    "filename",
    [
        "report.csv",
        "报告 2026",
        "../../etc/passwd",
        "a/b\\c",
        ".hidden",
        "…",
        "x" * 400,
        "报" * 400,
        "a\0b",
        "-",
    ],
)
def test_any_filename_becomes_a_safe_one(filename: str) -> None:
    name = export_name("task:1:export", filename, "csv")

    assert validate_name(name) == name
    assert name.endswith(".csv")


def test_a_filename_s_own_words_are_kept() -> None:
    assert export_name("k", "报告 2026.csv", "csv").startswith("报告-2026-")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "a\0b",
        "a\nb",
        "x" * 201,
        "报" * 67,
        "%2e%2e/x",
    ],
)
def test_names_that_are_not_ours_are_refused(name: str) -> None:
    with pytest.raises(BadExportName):
        validate_name(name)
