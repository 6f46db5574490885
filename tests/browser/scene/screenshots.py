"""`./task screenshots`: pictures of every page, from a stack that runs, into docs/images/."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import Stand
from tests.browser.scene.stage import open_stage
from tests.browsers import CHROMIUM_ARGUMENTS

IMAGES = Path(__file__).parents[3] / "docs" / "images"
DESKTOP = {"width": 1240, "height": 760}
PHONE = {"width": 390, "height": 780}
SETTLE = 1_600
"""Milliseconds for figures, sparklines and fonts to come."""


@dataclass(frozen=True)
class Shot:
    """A picture: of which address, how. `press` are selectors clicked before."""

    name: str
    address: str
    dark: bool = False
    phone: bool = False
    chinese: bool = False
    press: tuple[str, ...] = ()
    waits: int = SETTLE


def shots(ids: dict[str, str]) -> list[Shot]:
    running, failed, chain = ids["running"], ids["failed"], ids["chain"]
    return [
        Shot("overview", "/"),
        Shot("overview-dark", "/", dark=True),
        Shot("overview-phone", "/", phone=True, dark=True),
        Shot("tasks", "/tasks"),
        Shot("tasks-dark", "/tasks", dark=True),
        Shot("tasks-phone", "/tasks", phone=True),
        Shot("tasks-chinese", "/tasks", chinese=True),
        Shot("task", f"/tasks/{chain}"),
        Shot("task-running-dark", f"/tasks/{running}", dark=True),
        Shot("task-failed", f"/tasks/{failed}?tab=attempts"),
        Shot("task-phone", f"/tasks/{chain}", phone=True),
        Shot("queues", "/queues", waits=8_000),
        Shot("workers-dark", "/workers", dark=True),
        Shot("failures", "/failures"),
        Shot("dead-letters", "/dead-letters"),
        Shot("new-task", "/new?type=chain", press=ADDED),
        Shot("scheduled", "/scheduled"),
        Shot("users", "/users"),
        Shot("system-dark", "/system", dark=True),
    ]


ADDED = tuple(f"[data-add='{name}']" for name in ("validation", "enrichment", "export"))


def take(browser: Browser, stand: Stand, shot: Shot) -> Path:
    context = browser.new_context(
        viewport=PHONE if shot.phone else DESKTOP,
        color_scheme="dark" if shot.dark else "light",
        locale="zh-CN" if shot.chinese else "en-US",
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    page.goto(stand.url + shot.address)
    page.wait_for_selector(".sl-main h1")
    page.wait_for_function("document.fonts.status === 'loaded'")
    page.wait_for_timeout(shot.waits)
    for selector in shot.press:
        page.click(selector)
        page.wait_for_timeout(300)
    page.evaluate("scrollTo(0, 0)")
    path = IMAGES / f"dashboard-{shot.name}.png"
    page.screenshot(path=path)
    context.close()
    return path


def pick(stand: Stand) -> dict[str, str]:
    """The tasks that are shown by themselves."""

    def newest(query: str) -> str:
        deadline = time.monotonic() + 60
        while not (found := stand.get(f"/tasks/?limit=1&{query}")["tasks"]):
            assert time.monotonic() < deadline, f"no task of {query}"
            time.sleep(0.2)
        return str(found[0]["task_id"])

    return {
        "running": newest("type=import_products&status=RUNNING"),
        "failed": newest("type=invoice&status=FAILURE&text=Invoice%2048141"),
        "chain": newest("type=chain&status=SUCCESS"),
    }


def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        print(
            "screenshots need chromium: `apt-get install chromium fonts-noto-cjk`", file=sys.stderr
        )
        return 2
    IMAGES.mkdir(parents=True, exist_ok=True)
    only = sys.argv[1:]
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS) as browser,
        ExitStack() as stack,
    ):
        stand = open_stage(Path(folder), stack)
        for shot in shots(pick(stand)):
            if not only or shot.name in only:
                path = take(browser, stand, shot)
                print(f"{path.relative_to(IMAGES.parents[1])}  {path.stat().st_size // 1024} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
