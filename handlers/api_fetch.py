"""`api_fetch`: fetch addresses concurrently; one that fails never fails the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from stepline.authoring import Context, Fetched, Fetcher, handler, task_type
from stepline.contract import FetchRequest
from stepline.errors import Reject, Retry

from handlers.bounded import for_each
from handlers.fetched_data import data_of

CONCURRENCY = 10
MAX_BYTES = 1_000_000
"""Largest body that is fetched."""

_DATA_BUDGET = 4_000_000
"""Bytes of data that one task's result may hold, shared evenly among its addresses."""

_SAVES = 50
"""Most checkpoints of one run: each holds every result so far."""


@handler
async def api_fetch(ctx: Context, payload: FetchRequest) -> dict[str, Any]:
    """GET each address; what has been fetched is not fetched again after an interruption.

    The overall `status` is completed, partial or failed: all, some or none came with a status
    below 400.
    """
    urls = payload.urls
    results: dict[str, dict[str, Any]] = dict((ctx.saved or {}).get("results", {}))
    waiting = [index for index in range(len(urls)) if str(index) not in results]
    every = max(1, len(urls) // _SAVES)
    room = min(MAX_BYTES, _DATA_BUDGET // len(urls))

    async def work(index: int) -> dict[str, Any]:
        return await fetch_one(ctx.fetcher, urls[index], room)

    async def done(index: int, result: dict[str, Any]) -> None:
        results[str(index)] = result
        if len(results) % every == 0 or len(results) == len(urls):
            await ctx.save({"results": dict(results)})
        await ctx.progress(len(results), len(urls), f"{result['status']}: {_shown(urls[index])}")

    await ctx.progress(len(results), len(urls))
    await for_each(waiting, work, done, limit=min(CONCURRENCY, len(urls)))
    return _summary([results[str(index)] for index in range(len(urls))])


def _shown(url: str) -> str:
    """The address for a line that others may read: user, password and query left out."""
    return re.sub(r"//[^/?#]*@", "//", re.split(r"[?#]", url, maxsplit=1)[0])[:200]


async def fetch_one(fetcher: Fetcher, url: str, room: int) -> dict[str, Any]:
    """One address as its line in the result; `room` is the most bytes of data to keep."""
    try:
        fetched = await _twice(fetcher, url)
    except (Reject, Retry) as failure:
        return _line(url, error={"code": failure.code, "message": failure.message})
    data, note = data_of(fetched, room)
    error = None
    if fetched.status_code >= 400:
        error = {"code": "http_error", "message": _status_line(fetched.status_code)}
    line = _line(url, fetched=fetched, data=data, error=error)
    return line if note is None else {**line, "note": note}


async def _twice(fetcher: Fetcher, url: str) -> Fetched:
    headers = {"Accept": "application/json, text/*;q=0.9, */*;q=0.5"}
    try:
        return await fetcher.request("GET", url, headers=headers, max_bytes=MAX_BYTES)
    except Retry:
        # A second try in place: for the whole task to wait for one address would be worse.
        return await fetcher.request("GET", url, headers=headers, max_bytes=MAX_BYTES)


def _line(
    url: str,
    *,
    fetched: Fetched | None = None,
    data: Any = None,
    error: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "url": url,
        "status": "success" if error is None else "failed",
        "status_code": fetched and fetched.status_code,
        "content_type": fetched and fetched.content_type,
        "data": data,
        "size_bytes": fetched and len(fetched.body),
        "response_time": fetched and round(fetched.response_time, 6),
        "error": error,
    }


def _status_line(code: int) -> str:
    try:
        return f"HTTP {code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"HTTP {code}"


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    successful = sum(result["status"] == "success" for result in results)
    status = "partial" if successful else "failed"
    if successful == len(results):
        status = "completed"
    return {
        "status": status,
        "total_urls": len(results),
        "successful_requests": successful,
        "failed_requests": len(results) - successful,
        "results": results,
    }


API_FETCH = task_type(
    "api_fetch",
    payload=FetchRequest,
    handlers=[api_fetch],
    queue="long_tasks",
    timeout=3_600,
    description="Addresses, fetched concurrently.",
)
