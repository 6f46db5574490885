"""`api_fetch`: every address gets its line, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from stepline.authoring import Fetched
from stepline.contract import FetchRequest
from stepline.errors import Reject, Retry

from handlers.api_fetch import API_FETCH, CONCURRENCY, api_fetch
from tests.unit.fakes import FakeContext

Answer = Fetched | Exception


def answer(
    body: bytes | str = b"{}",
    *,
    kind: str = "application/json",
    status: int = 200,
    charset: str = "utf-8",
) -> Fetched:
    data = body if isinstance(body, bytes) else body.encode(charset)
    return Fetched("https://api.example.com/", status, kind, data, charset, 0.25)


class Web:
    """A fetcher that answers by URL: the next of a list, or the same each time."""

    def __init__(self, pages: Mapping[str, Answer | list[Answer]]) -> None:
        self._pages = dict(pages)
        self.asked: list[str] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 10.0,
        max_bytes: int = 1_000_000,
    ) -> Fetched:
        assert method == "GET"
        self.asked.append(url)
        page = self._pages[url]
        page = page.pop(0) if isinstance(page, list) else page
        if isinstance(page, Exception):
            raise page
        return page


async def run(
    pages: Mapping[str, Answer | list[Answer]], *, urls: list[str] | None = None, saved: Any = None
) -> tuple[Any, FakeContext]:
    ctx = FakeContext(fetcher=Web(pages), saved=saved)
    result = await api_fetch(ctx, FetchRequest(urls=urls or list(pages)))
    return result, ctx


async def one(page: Answer | list[Answer]) -> Any:
    result, _ = await run({"https://api.example.com/": page})
    return result["results"][0]


async def test_json_comes_as_data() -> None:
    line = await one(answer('{"名": [1, 2.5, null]}'))
    assert line == {
        "url": "https://api.example.com/",
        "status": "success",
        "status_code": 200,
        "content_type": "application/json",
        "data": {"名": [1, 2.5, None]},
        "size_bytes": 23,
        "response_time": 0.25,
        "error": None,
    }


async def test_the_order_is_that_of_the_request_and_the_counts_add_up() -> None:
    result, _ = await run(
        {
            "https://a/": answer(),
            "https://b/": answer(status=503),
            "https://c/": Reject("no", code="fetch_refused"),
            "https://d/": answer(),
        }
    )
    assert [line["url"] for line in result["results"]] == [
        "https://a/",
        "https://b/",
        "https://c/",
        "https://d/",
    ]
    assert result["status"] == "partial"
    assert (result["total_urls"], result["successful_requests"], result["failed_requests"]) == (
        4,
        2,
        2,
    )


@pytest.mark.parametrize(
    ("pages", "status"),
    [
        ({"https://a/": answer()}, "completed"),
        ({"https://a/": answer(), "https://b/": answer(status=404)}, "partial"),
        ({"https://a/": answer(status=500)}, "failed"),
    ],
)
async def test_the_whole_is_as_good_as_its_parts(pages: dict[str, Answer], status: str) -> None:
    result, _ = await run(pages)
    assert result["status"] == status


async def test_a_status_from_400_on_is_a_failure_that_keeps_its_answer() -> None:
    line = await one(answer('{"detail": "gone"}', status=404))
    assert (line["status"], line["status_code"], line["data"]) == (
        "failed",
        404,
        {"detail": "gone"},
    )
    assert line["error"] == {"code": "http_error", "message": "HTTP 404 Not Found"}
    assert (await one(answer(status=599)))["error"]["message"] == "HTTP 599"


async def test_a_refused_address_is_asked_once_and_named_with_its_code() -> None:
    result, ctx = await run({"http://10.0.0.1/": Reject("not public", code="fetch_refused")})
    line = result["results"][0]
    assert (line["status"], line["status_code"], line["data"]) == ("failed", None, None)
    assert line["error"] == {"code": "fetch_refused", "message": "not public"}
    assert len(ctx.fetcher.asked) == 1  # type: ignore[attr-defined]


async def test_a_transient_failure_gets_a_second_try_and_no_third() -> None:
    timeout = Retry("slow", code="fetch_timeout")
    assert (await one([timeout, answer()]))["status"] == "success"
    line = await one([timeout, timeout, answer()])
    assert (line["status"], line["error"]["code"]) == ("failed", "fetch_timeout")


@pytest.mark.parametrize(
    ("page", "data"),
    [
        (answer("plain", kind="text/plain"), "plain"),
        (answer("没有", kind="text/html", charset="gb18030"), "没有"),
        (answer("<a/>", kind="application/atom+xml"), "<a/>"),
        (answer(b"\xff\xfe", kind="text/plain"), "��"),
        (answer("\ufeff[1]"), [1]),
        (answer('{"a": 1}', kind="application/problem+json"), {"a": 1}),
        (answer(b"", kind="text/plain", status=204), None),
    ],
)
async def test_text_and_json_come_by_their_charset(page: Fetched, data: Any) -> None:
    line = await one(page)
    assert line["data"] == data
    assert "note" not in line


@pytest.mark.parametrize(
    ("page", "data", "note"),
    [
        (answer(b"\x89PNG", kind="image/png"), None, "image/png is not shown"),
        (answer("{oops"), "{oops", "not valid JSON"),
        (answer("[NaN]"), "[NaN]", "not valid JSON"),
        (answer("[1e999]"), "[1e999]", "not valid JSON"),
        (answer("[" * 101 + "]" * 101), None, "nested deeper"),
    ],
)
async def test_what_is_not_simply_data_comes_with_a_note(
    page: Fetched, data: Any, note: str
) -> None:
    line = await one(page)
    assert line["data"] == data
    assert note in line["note"]
    assert line["status"] == "success", "the request itself went well"


async def test_many_large_answers_share_the_room_that_a_result_has() -> None:
    pages: dict[str, Answer] = {
        f"https://a/{number}": answer("字" * 30_000, kind="text/plain") for number in range(100)
    }
    pages["https://a/json"] = answer('"' + "x" * 90_000 + '"')
    result, _ = await run(pages)
    assert sum(len((line["data"] or "").encode()) for line in result["results"]) <= 4_000_000
    assert "cut: " in result["results"][0]["note"]
    assert result["results"][0]["size_bytes"] == 90_000
    assert result["results"][-1]["data"] is None, "JSON is shown whole or not at all"


async def test_an_address_given_twice_has_two_lines() -> None:
    result, _ = await run({"https://a/": answer()}, urls=["https://a/", "https://a/"])
    assert result["total_urls"] == len(result["results"]) == 2


async def test_progress_counts_the_addresses_that_are_done() -> None:
    _, ctx = await run({f"https://a/{number}": answer() for number in range(3)})
    assert [(call.current, call.total) for call in ctx.progressed] == [
        (0, 3),
        (1, 3),
        (2, 3),
        (3, 3),
    ]


async def test_progress_tells_no_password_and_no_key() -> None:
    url = "https://user:hunter2@a.example/path?key=s3cret#part"
    _, ctx = await run({url: Reject("no", code="fetch_refused")})
    assert ctx.progressed[-1].message == "failed: https://a.example/path"


async def test_what_was_fetched_before_an_interruption_is_not_fetched_again() -> None:
    pages = {f"https://a/{number}": answer(str(number)) for number in range(4)}
    whole, first = await run(pages)
    result, second = await run(pages, saved=first.saves[1])
    assert len(second.fetcher.asked) == 2  # type: ignore[attr-defined]
    assert result == whole


async def test_a_thousand_addresses_are_saved_in_groups() -> None:
    result, ctx = await run({f"https://a/{number}": answer() for number in range(1_000)})
    assert result["successful_requests"] == 1_000
    assert len(ctx.saves) <= 51


class Gate(Web):
    """Answers when told to; counts how many are waiting."""

    def __init__(self, leave: Callable[[], Awaitable[Any]]) -> None:
        super().__init__({})
        self._leave = leave
        self.inside = self.most = self.left = 0

    async def request(self, method: str, url: str, **_options: Any) -> Fetched:  # type: ignore[override]
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self._leave()
        finally:
            self.inside -= 1
            self.left += 1
        return answer()


async def test_ten_are_fetched_at_a_time() -> None:
    web = Gate(lambda: asyncio.sleep(0))
    urls = [f"https://a/{number}" for number in range(35)]
    await api_fetch(FakeContext(fetcher=web), FetchRequest(urls=urls))
    assert (web.most, web.left) == (CONCURRENCY, 35)


async def test_cancelling_leaves_no_fetch_behind() -> None:
    web = Gate(lambda: asyncio.Event().wait())
    urls = [f"https://a/{number}" for number in range(35)]
    running = asyncio.create_task(api_fetch(FakeContext(fetcher=web), FetchRequest(urls=urls)))
    while web.inside < CONCURRENCY:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (web.inside, web.left) == (0, CONCURRENCY)


async def test_an_error_of_the_engine_comes_through_as_it_is() -> None:
    class LostLease(Exception):
        pass

    class Superseded(FakeContext):
        async def save(self, state: Any) -> None:
            raise LostLease

    with pytest.raises(LostLease):
        await api_fetch(
            Superseded(fetcher=Web({"https://a/": answer()})), FetchRequest(urls=["https://a/"])
        )


def test_it_goes_to_the_long_queue() -> None:
    assert API_FETCH.queue == "long_tasks"
