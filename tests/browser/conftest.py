"""The dashboard as its users meet it: a real browser, the dashboard's process, a service."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uuid_utils
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from infra.services.ports import free_port
from tests.acceptance.conftest import ROOT, Deployment, until_healthy
from tests.browsers import CHROMIUM_ARGUMENTS, need_chromium

START = 90.0
"""Seconds that a process gets to answer."""

PATIENCE = 15_000
"""Milliseconds that a page gets to show what is waited for; the machine may be busy."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """No longer than a module: while it is open, a loop runs in this thread, and the tests of
    other files could not run theirs."""
    chromium = need_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Stand:
    """A service with its dashboard. `complaints`: what browsers' consoles said on its pages."""

    deployment: Deployment
    url: str
    complaints: list[str] = field(default_factory=list)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        headers = {"Prefer": "respond-async"}
        answer = httpx2.post(f"{self.deployment.url}{path}", json=body, headers=headers, timeout=30)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def get(self, path: str) -> dict[str, Any]:
        answer = httpx2.get(f"{self.deployment.url}{path}", timeout=30)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def submit(self, path: str, **body: Any) -> str:
        return str(self.post(path, **body)["task_id"])

    def record_copy(self, task_id: str, *, task_name: str) -> str:
        """Put a task into history alone, as a recorder that is behind does; answers its id."""
        made = str(uuid_utils.uuid7())
        path = Path(self.deployment.environment["STEPLINE_DATA_DIR"]) / "stepline.db"
        with closing(sqlite3.connect(path, timeout=20)) as history, history:
            names = [column[1] for column in history.execute("PRAGMA table_info(tasks)")]
            query = "SELECT * FROM tasks WHERE id = ?"
            (found,) = history.execute(query, [task_id]).fetchall()
            values = dict(zip(names, found, strict=True)) | {"id": made, "name": task_name}
            slots = ", ".join(f":{name}" for name in values)
            history.execute(f"INSERT INTO tasks ({', '.join(values)}) VALUES ({slots})", values)
        return made

    def until(self, task_id: str, *statuses: str) -> dict[str, Any]:
        """The task, once it has one of these statuses and the list says so too."""
        deadline = time.monotonic() + 20
        while True:
            seen = self.get(f"/tasks/{task_id}/status")
            if seen["status"] in statuses:
                return seen
            assert time.monotonic() < deadline, f"not {statuses} but {seen['status']}"
            time.sleep(0.05)


def until_answers(address: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START
    while True:
        assert child.poll() is None, "the process has ended; its log says why"
        try:
            httpx2.get(address, timeout=5)
        except httpx2.TransportError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.1)
        else:
            return


@contextmanager
def dashboard_process(deployment: Deployment, *arguments: str) -> Iterator[str]:
    """A dashboard of this deployment; answers its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with deployment.process(
        "dashboard", "--url", deployment.url, "--port", str(port), *arguments
    ) as child:
        until_answers(f"{url}/assets/shell.js", child)
        yield url


def deployment_of(folder: Path, **more: str) -> Deployment:
    """A deployment that does not run yet."""
    port = free_port()
    environment = {
        "STEPLINE_API_PORT": str(port),
        "STEPLINE_DATA_DIR": str(folder / "data"),
        "STEPLINE_LOG_LEVEL": "warning",
        "STEPLINE_WORKER_GRACE": "1",
        "STEPLINE_METRICS_PORT": "0",
        **more,
    }
    return Deployment(f"http://127.0.0.1:{port}", "browser", environment, folder)


def deployed(folder: Path, stack: ExitStack, **more: str) -> Deployment:
    """The embedded service; API, worker and cron apart where `more` names real services."""
    made = deployment_of(folder, **more)
    modules: list[tuple[str, ...]] = [("api.embedded",)]
    if "STEPLINE_BROKER_URL" in more:
        subprocess.run(
            [sys.executable, "-m", "infra.history"],
            cwd=ROOT,
            env=os.environ | made.environment,
            check=True,
            capture_output=True,
        )
        modules = [("api",), ("workers",), ("workers.cron",)]
    for module in modules:
        stack.enter_context(made.process(*module))
    return made


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    need_chromium()
    with ExitStack() as stack:
        made = deployed(tmp_path_factory.mktemp("stand"), stack)
        until_healthy(made)
        yield Stand(made, stack.enter_context(dashboard_process(made)))


@pytest.fixture
def open_page(browser: Browser, stand: Stand) -> Iterator[Callable[..., Page]]:
    """Opens an address of the dashboard, in a browser of its own. No script may fail there, and
    nothing may be asked of another host."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_(address: str, url: str | None = None, **options: Any) -> Page:
        context = browser.new_context(
            **{"locale": "en-US", "viewport": {"width": 1280, "height": 860}} | options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        base = url or stand.url
        page.on(
            "request",
            lambda sent: (
                None
                if sent.url.startswith((base, base.replace("http", "ws"), "data:", "blob:"))
                else complaints.append(f"asked {sent.url}")
            ),
        )
        page.goto(base + address)
        page.wait_for_selector(".sl-main .sl-head h1, .sl-login, .sl-main .sl-empty")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
