"""The tutorial to its end: its page in a real browser, and its last experiment."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import async_playwright

from tests.browsers import CHROMIUM_ARGUMENTS, need_chromium
from tests.docs.pages import blocks
from tests.docs.session import ROOT, reader


async def test_the_page_shows_what_the_handlers_tell(tmp_path: Path) -> None:
    executable = need_chromium()
    with reader(tmp_path, "http://localhost:8000") as one:
        for block in blocks(ROOT / "docs" / "tutorial" / "index.md"):
            await one.follow(block)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=executable, args=CHROMIUM_ARGUMENTS
            )
            page = await browser.new_page()
            await page.goto(f"http://localhost:{one.ports['9000']}/watch.html")
            await page.get_by_role("button", name="Count").click()
            await page.get_by_text("succeeded").wait_for()

            words = await page.locator("#words li").all_inner_texts()
            bar = await page.locator("#bar").evaluate("bar => bar.value")
            await browser.close()

    assert words[0] == "to: 2"
    assert len(words) == 8
    assert bar == 1
