"""A browser's EventSource on a task's events: nothing is missed, and it stops by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from tests.browsers import CHROMIUM_ARGUMENTS, need_chromium
from tests.streams import Api, serving_api
from tests.waiting import wait_for

WATCH = """
url => {
    window.seen = []; window.state = "open";
    const source = new EventSource(url);
    for (const kind of ["queued", "started", "step.output", "succeeded", "reset"])
        source.addEventListener(kind, event => window.seen.push(event.lastEventId));
    source.onerror = () => {
        window.state = source.readyState === EventSource.CLOSED ? "closed" : "coming back";
    };
}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_api(tmp_path) as api:
        yield api


@pytest.fixture
async def page(api: Api) -> AsyncIterator[Page]:
    executable = need_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=CHROMIUM_ARGUMENTS
        )
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{api.port}/health/live")
        yield page
        await browser.close()


async def seen(page: Page, *ids: str) -> None:
    async def look() -> bool:
        return bool(await page.evaluate("window.seen") == list(ids))

    await wait_for(look, 15)


async def test_a_browser_comes_back_without_a_gap_and_stops_after_the_end(
    api: Api, page: Page
) -> None:
    task = await api.task()
    await page.evaluate(WATCH, task.path)
    await seen(page, "0-1", "1-1")

    heartbeat: Any = api.app.state.heartbeat
    for wire in [wire for part in heartbeat._parts for wire in part]:
        wire.transport.abort()  # the network breaks
    await task.write("while it was away")
    await seen(page, "0-1", "1-1", "1-2")

    await task.end()
    await page.wait_for_function("window.state === 'closed'", timeout=15_000)  # by the 204
    await seen(page, "0-1", "1-1", "1-2", "1-3")
