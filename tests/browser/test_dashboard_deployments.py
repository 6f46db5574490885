"""The dashboard of other deployments: one that asks for keys, one on real services, one that goes
away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from api.keys import hash_secret
from infra.services.ports import free_port
from tests.acceptance.conftest import service_urls, until_healthy
from tests.browser.conftest import (
    PATIENCE,
    Stand,
    dashboard_process,
    deployed,
    deployment_of,
    until_answers,
)

expect.set_options(timeout=PATIENCE)

Open = Callable[..., Page]
SECRET = "operator.a-long-random-secret"


def test_viewers_sign_in_with_their_own_key(
    browser: object, tmp_path: Path, open_page: Open
) -> None:
    with ExitStack() as stack:
        keys = f"operator:{hash_secret('a-long-random-secret')}"
        made = deployment_of(tmp_path, STEPLINE_API_KEYS=keys)
        api = stack.enter_context(made.process("api.embedded"))
        url = stack.enter_context(dashboard_process(made))
        until_answers(f"{made.url}/health/live", api)
        page = open_page("/tasks", url=url)
        expect(page).to_have_url(re.compile("/login$"))
        page.fill("input[name=key]", "operator.wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("[role=alert]")).to_contain_text("not valid")
        page.fill("input[name=key]", SECRET)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("h1")).to_have_text("Overview")
        cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
        assert cookies["stepline_session"]["httpOnly"]
        told = page.content() + page.url + str(cookies)
        assert "a-long-random-secret" not in told
        page.get_by_role("button", name="Sign out operator").click()
        expect(page).to_have_url(re.compile("/login$"))
        page.goto(f"{url}/tasks")
        expect(page).to_have_url(re.compile("/login$"))
        page.context.close()  # before its server goes


@pytest.fixture
def services(
    request: pytest.FixtureRequest,
    browser: object,
    rabbitmq: object,
    redis_server: object,
    mariadb_server: object,
    tmp_path: Path,
) -> Iterator[Stand]:
    with ExitStack() as stack:
        made = deployed(tmp_path, stack, **service_urls(request))
        until_healthy(made)
        yield Stand(made, stack.enter_context(dashboard_process(made)))


def test_on_real_services_a_task_is_submitted_watched_retried_and_cancelled(
    services: Stand, open_page: Open
) -> None:
    page = open_page("/new?type=long", url=services.url)
    page.fill("#field-duration", "2")
    page.fill("#field-task_name", "On services")
    page.click("[data-key='submit']")
    status = page.locator(".sl-title .sl-badge")
    expect(status).to_have_attribute("data-status", "RUNNING")
    expect(status).to_have_attribute("data-status", "SUCCESS")
    page.click("[data-key='retry']")
    page.click(".sl-dialog [data-key='yes']")
    expect(page.get_by_text("Retry of")).to_be_visible()
    page.evaluate("stepline.go('/new?type=long')")
    page.fill("#field-duration", "300")
    page.fill("#field-task_name", "To be cancelled")
    page.click("[data-key='submit']")
    expect(status).to_have_attribute("data-status", "RUNNING")
    page.click("[data-key='cancel']")
    page.click(".sl-dialog [data-key='yes']")
    expect(status).to_have_attribute("data-status", "CANCELLED")
    page.evaluate("stepline.go('/workers')")
    expect(page.locator("tbody tr .sl-badge").first).to_have_attribute("data-status", "running")
    page.evaluate("stepline.go('/queues')")
    expect(page.locator("tr[data-id='long_tasks']")).to_be_visible()
    page.evaluate("stepline.go('/tasks')")
    expect(page.locator("tbody tr", has_text="On services")).to_have_count(2)


def test_an_api_that_goes_away_is_told_and_found_again(
    browser: object, tmp_path: Path, open_page: Open
) -> None:
    with ExitStack() as stack:
        with ExitStack() as first:
            made = deployed(tmp_path, first)
            url = stack.enter_context(dashboard_process(made))
            until_healthy(made)
            page = open_page("/tasks", url=url)
            expect(page.locator(".sl-link-state")).to_have_text("Live")
        expect(page.locator(".sl-link-state")).to_contain_text("Connection lost")
        stack.enter_context(made.process("api.embedded"))
        until_healthy(made)
        task_id = Stand(made, url).submit("/tasks/quick", numbers=[1], task_name="After it")
        expect(page.locator(f"tr[data-id='{task_id}']")).to_contain_text("After it")
        expect(page.locator(".sl-link-state")).to_have_text("Live")
        page.context.close()


def test_one_command_brings_the_dashboard_and_takes_it_along(tmp_path: Path) -> None:
    port = free_port()
    made = deployment_of(tmp_path, STEPLINE_DASHBOARD_PORT=str(port))
    with made.process("api.embedded", "--dashboard") as child:
        until_healthy(made)
        until_answers(f"http://127.0.0.1:{port}/login", child)
        assert "Stepline" in httpx2.get(f"http://127.0.0.1:{port}/login").text
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/login")
