"""`GET /exports/{name}` as a browser, a download manager and an attacker use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import httpx2
import pytest
from fastapi import FastAPI

from api import errors
from api.routes import exports as routes
from infra.exports import CONTENT_TYPES, ExportsStore, open_exports

BODY = b"0123456789"
PATH = "/exports/报告-1.txt"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture
def store(tmp_path: Path) -> ExportsStore:
    return open_exports(tmp_path.as_uri())


@pytest.fixture
async def http(store: ExportsStore) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    errors.install(app)
    app.include_router(routes.router)
    app.state.resources = SimpleNamespace(exports=store)
    await store.write("报告-1.txt", pieces(BODY))
    await store.write("empty-1.csv", pieces())
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


async def test_the_whole_file_is_an_attachment(http: httpx2.AsyncClient) -> None:
    answer = await http.get(PATH)

    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["content-length"] == "10"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert parsedate_to_datetime(answer.headers["last-modified"]).tzinfo is not None


async def test_the_attachment_s_name_survives_by_rfc_5987(http: httpx2.AsyncClient) -> None:
    disposition = (await http.get(PATH)).headers["content-disposition"]

    kind, _, name = disposition.partition("; filename*=UTF-8''")
    assert kind == "attachment"
    assert name.isascii()
    assert unquote(name) == "报告-1.txt"


@pytest.mark.parametrize(("extension", "expected"), CONTENT_TYPES.items())
async def test_every_format_has_its_content_type(
    http: httpx2.AsyncClient, store: ExportsStore, extension: str, expected: str
) -> None:
    await store.write(f"a-1.{extension}", pieces(b"x"))

    answer = await http.get(f"/exports/a-1.{extension}")

    assert answer.headers["content-type"] == expected


async def test_a_large_file_comes_whole(http: httpx2.AsyncClient, store: ExportsStore) -> None:
    body = bytes(range(256)) * 4_000
    await store.write("large-1.json", pieces(body))

    assert (await http.get("/exports/large-1.json")).content == body
    part = await http.get("/exports/large-1.json", headers={"Range": "bytes=262140-524299"})
    assert part.content == body[262_140:524_300]
    assert part.headers["content-range"] == f"bytes 262140-524299/{len(body)}"


@pytest.mark.parametrize(
    ("asked", "content", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("Bytes=2-3", b"23", "bytes 2-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=-99", BODY, "bytes 0-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
    ],
)
async def test_one_range_is_a_part(
    http: httpx2.AsyncClient, asked: str, content: bytes, told: str
) -> None:
    answer = await http.get(PATH, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["content-range"] == told
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,3-4", "bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes", ""]
)
async def test_other_ranges_are_ignored(http: httpx2.AsyncClient, asked: str) -> None:
    answer = await http.get(PATH, headers={"Range": asked})

    assert (answer.status_code, answer.content) == (200, BODY)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=999999999-", "bytes=-0"])
async def test_a_range_beyond_the_end_is_416(http: httpx2.AsyncClient, asked: str) -> None:
    answer = await http.get(PATH, headers={"Range": asked})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/range_not_satisfiable"


async def test_an_empty_file_has_no_parts(http: httpx2.AsyncClient) -> None:
    whole = await http.get("/exports/empty-1.csv")
    part = await http.get("/exports/empty-1.csv", headers={"Range": "bytes=0-"})

    assert (whole.status_code, whole.content, whole.headers["content-length"]) == (200, b"", "0")
    assert (part.status_code, part.headers["content-range"]) == (416, "bytes */0")


async def test_what_the_client_has_is_not_sent_again(http: httpx2.AsyncClient) -> None:
    etag = (await http.get(PATH)).headers["etag"]

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await http.get(PATH, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await http.get(PATH, headers={"If-None-Match": '"other"'})).content == BODY


async def test_a_replaced_file_is_sent_again(http: httpx2.AsyncClient, store: ExportsStore) -> None:
    etag = (await http.get(PATH)).headers["etag"]
    await store.write("报告-1.txt", pieces(b"something else"))

    assert (await http.get(PATH, headers={"If-None-Match": etag})).content == b"something else"
    resumed = await http.get(PATH, headers={"Range": "bytes=5-", "If-Range": etag})
    assert (resumed.status_code, resumed.content) == (200, b"something else")


async def test_a_range_holds_only_for_the_same_file(http: httpx2.AsyncClient) -> None:
    etag = (await http.get(PATH)).headers["etag"]
    ranged = {"Range": "bytes=0-1"}

    assert (await http.get(PATH, headers=ranged | {"If-Range": etag})).content == b"01"
    for other in ('"other"', f"W/{etag}", "Mon, 01 Jan 2029 00:00:00 GMT"):
        assert (await http.get(PATH, headers=ranged | {"If-Range": other})).content == BODY


async def test_head_tells_what_get_would_without_a_body(http: httpx2.AsyncClient) -> None:
    got, head = await http.get(PATH), await http.head(PATH)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == got.headers
    assert (await http.head("/exports/nope.txt")).status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "nope.txt",
        "..",
        "%2e%2e",
        "..%2Fcheckpoints%2Fsecret",
        "%2e%2e%2fcheckpoints%2fsecret",
        "..%5Csecret",
        "checkpoints",
        "checkpoints%2Fsecret",
        "a/b",
        ".hidden",
        "a%00b",
        "a%0Ab",
        "%252e%252e",
        "x" * 300,
        "报" * 200,
        "%ff",
    ],
)
async def test_unknown_and_hostile_names_are_404_problems(
    http: httpx2.AsyncClient, store: ExportsStore, name: str
) -> None:
    await store.put_blob("secret", b"the engine's")

    answer = await http.get(httpx2.URL(f"http://test/exports/{name}"))

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/not_found"
    assert b"the engine's" not in answer.content
