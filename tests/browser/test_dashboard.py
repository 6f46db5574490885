"""What people do with the dashboard, in a real browser, upon a running service."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE, Stand, dashboard_process

expect.set_options(timeout=PATIENCE)

HOSTILE = "<img src=x onerror=alert(1)>"
Open = Callable[..., Page]

CHAIN: dict[str, Any] = {
    "request_type": "data_transformation",
    "chain_type": "transform_export",
    "data": {
        "payload": {"first_name": "  john  ", "password": "hunter2"},
        "transformations": {"first_name": "strip"},
    },
}


def status(page: Page) -> Any:
    """The status in a task's head."""
    return page.locator(".sl-title .sl-badge")


def row(page: Page, task_id: str) -> Any:
    return page.locator(f"tr[data-id='{task_id}']")


def test_a_task_is_submitted_from_the_form_and_watched_to_its_end(open_page: Open) -> None:
    page = open_page("/new?type=long")
    page.fill("#field-task_name", "From the form")
    page.fill("#field-duration", "2")
    page.click("[data-key='submit']")
    expect(page.locator("h1")).to_have_text("From the form")
    expect(page).to_have_url(re.compile(r"/tasks/[0-9a-f-]{36}$"))
    expect(status(page)).to_have_attribute("data-status", "RUNNING")
    expect(page.locator(".sl-chain .node")).to_have_class(re.compile("is-running"))
    expect(status(page)).to_have_attribute("data-status", "SUCCESS")
    expect(page.locator(".sl-chain .node")).to_have_class(re.compile("is-completed"))
    expect(page.get_by_label("Output")).to_contain_text("processed_items")


def test_the_form_says_beside_the_field_what_the_api_refuses(open_page: Open) -> None:
    page = open_page("/new?type=email")
    page.fill("#field-recipient", "nobody")
    page.fill("#field-subject", "s")
    page.fill("#field-message", "m")
    page.click("[data-key='submit']")
    expect(page.locator(".row", has_text="recipient").locator(".wrong")).to_contain_text("email")
    expect(page).to_have_url(re.compile("/new"))


def test_a_chain_is_built_handler_by_handler(open_page: Open) -> None:
    page = open_page("/new?type=chain")
    for handler in ("export", "transformation"):
        page.click(f"[data-add='{handler}']")
    page.get_by_role("button", name="One place earlier").click()
    page.fill("#field-data", '{"payload": {"a": 1}}')
    page.click("[data-key='submit']")
    nodes = page.locator(".sl-chain .node b")
    expect(nodes).to_have_text(["transformation", "export"])
    expect(status(page)).to_have_attribute("data-status", "SUCCESS")


def test_the_list_is_live_and_a_task_is_cancelled(stand: Stand, open_page: Open) -> None:
    page = open_page("/tasks")
    task_id = stand.submit("/tasks/long", duration=600, task_name="To be cancelled")
    expect(row(page, task_id)).to_contain_text("To be cancelled")
    expect(row(page, task_id).locator(".sl-badge")).to_have_attribute("data-status", "RUNNING")
    row(page, task_id).get_by_role("link").click()
    page.click("[data-key='cancel']")
    dialog = page.locator(".sl-dialog")
    expect(dialog).to_contain_text("told to stop within a second")
    dialog.locator("[data-key='no']").click()
    expect(dialog).to_have_count(0)
    assert stand.get(f"/tasks/{task_id}/status")["status"] == "RUNNING"
    page.click("[data-key='cancel']")
    page.click(".sl-dialog [data-key='yes']")
    expect(status(page)).to_have_attribute("data-status", "CANCELLED")
    page.go_back()
    expect(row(page, task_id).locator(".sl-badge")).to_have_attribute("data-status", "CANCELLED")


def test_a_chain_is_retried_from_a_step(stand: Stand, open_page: Open) -> None:
    task_id = stand.submit("/chain/process", task_name="Twice", **CHAIN)
    stand.until(task_id, "SUCCESS")
    page = open_page(f"/tasks/{task_id}?tab=attempts")
    page.click("[data-key='retry-from-1']")
    expect(page.locator(".sl-dialog")).to_contain_text("from the step export")
    page.click(".sl-dialog [data-key='yes']")
    expect(page.get_by_role("link", name=task_id)).to_be_visible()
    expect(page.locator(".sl-chain li").nth(0)).to_have_attribute("data-status", "skipped")
    expect(page.locator(".sl-chain li").nth(1)).to_have_attribute("data-status", "completed")


def test_a_task_is_resubmitted_with_another_payload(stand: Stand, open_page: Open) -> None:
    task_id = stand.submit("/tasks/quick", numbers=[1, 2])
    stand.until(task_id, "SUCCESS")
    page = open_page(f"/tasks/{task_id}")
    page.click("[data-key='edit']")
    editor = page.locator(".sl-dialog textarea").first
    editor.fill('{"numbers": ')
    page.click(".sl-dialog [data-key='yes']")
    expect(page.locator(".sl-dialog")).to_contain_text("not JSON")
    editor.fill('{"numbers": [40, 2]}')
    page.click(".sl-dialog [data-key='yes']")
    expect(page.get_by_label("Output")).to_contain_text("42")


def test_chosen_tasks_are_retried_together(stand: Stand, open_page: Open) -> None:
    ids = [stand.submit("/tasks/quick", numbers=[n], task_name=f"Bulk {n}") for n in range(3)]
    for task_id in ids:
        stand.until(task_id, "SUCCESS")
    page = open_page("/tasks?text=Bulk")
    for task_id in ids:
        row(page, task_id).locator("input").check()
    expect(page.locator(".sl-bar")).to_contain_text("3 chosen")
    page.click("[data-key='bulk-retry']")
    expect(page.locator(".sl-dialog")).to_contain_text("Retry 3 tasks?")
    page.click(".sl-dialog [data-key='yes']")
    expect(page.locator(".sl-dialog")).to_contain_text("3 of 3 done")
    page.click(".sl-dialog [data-key='close']")
    expect(page.locator("tbody tr")).to_have_count(6)


def test_the_address_holds_the_filter(stand: Stand, open_page: Open) -> None:
    kept = stand.submit("/tasks/quick", numbers=[1], task_name="Needle")
    other = stand.submit("/tasks/quick", numbers=[1], task_name="Haystack")
    stand.until(other, "SUCCESS")
    page = open_page("/tasks")
    expect(row(page, other)).to_be_visible()
    page.fill(".sl-field.search", "Need")
    expect(row(page, other)).to_have_count(0)
    page.get_by_label("Type").select_option("quick")
    page.click(".sl-count[data-status='SUCCESS']")
    expect(row(page, kept)).to_be_visible()
    page.wait_for_function("location.search.includes('SUCCESS')")
    query = parse_qs(urlsplit(page.url).query)
    assert query == {"text": ["Need"], "type": ["quick"], "status": ["SUCCESS"]}
    page.reload()
    expect(row(page, kept)).to_be_visible()
    expect(row(page, other)).to_have_count(0)
    expect(page.locator(".sl-field.search")).to_have_value("Need")
    expect(page.locator(".sl-count[data-status='SUCCESS']")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.fill(".sl-field.search", "nothing has this name")
    expect(page.locator(".sl-empty")).to_contain_text("No task fits")
    page.get_by_role("link", name="Clear the filters").click()
    expect(row(page, other)).to_be_visible()


def test_a_filter_by_status_follows_tasks_that_come_to_it_and_leave_it(
    stand: Stand, open_page: Open
) -> None:
    page = open_page("/tasks?status=RUNNING")
    task_id = stand.submit("/tasks/long", duration=3, task_name="Passing through")
    expect(row(page, task_id)).to_be_visible()
    expect(row(page, task_id)).to_have_count(0)


def test_live_updates_are_paused_and_resumed(stand: Stand, open_page: Open) -> None:
    page = open_page("/tasks")
    page.click("[data-key='p']")
    expect(page.locator("[data-key='p']")).to_have_text(re.compile("Resume"))
    task_id = stand.submit("/tasks/quick", numbers=[1], task_name="Unseen")
    stand.until(task_id, "SUCCESS")
    expect(row(page, task_id)).to_have_count(0)
    page.click("[data-key='p']")
    expect(row(page, task_id)).to_contain_text("Unseen")


def test_a_task_that_history_told_of_late_is_shown(stand: Stand, open_page: Open) -> None:
    listed = stand.submit("/tasks/quick", numbers=[1], task_name="In time")
    stand.until(listed, "SUCCESS")
    page = open_page("/tasks")
    expect(row(page, listed)).to_contain_text("In time")
    late = stand.record_copy(listed, task_name="Long on its way")
    expect(row(page, late)).to_contain_text("Long on its way")


def test_what_tasks_are_called_and_hold_is_text_everywhere(stand: Stand, open_page: Open) -> None:
    task_id = stand.submit(
        "/chain/process",
        task_name=HOSTILE,
        request_type="data_validation",
        chain_type="validation_only",
        data={"payload": {HOSTILE: HOSTILE}, "required_fields": ["<b>bold</b>"]},
    )
    stand.until(task_id, "FAILURE")
    page = open_page("/tasks")
    expect(row(page, task_id).locator("a")).to_have_text(HOSTILE)
    row(page, task_id).locator("a").click()
    expect(page.locator("h1")).to_have_text(HOSTILE)
    for tab in ("attempts", "events", "logs", "io"):
        page.click(f"[data-tab='{tab}']")
        expect(page.locator(f"[data-tab='{tab}']")).to_have_attribute("aria-selected", "true")
    page.click("[data-key='retry']")
    expect(page.locator(".sl-dialog h2")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0, "no data became an element"
    assert page.locator(".sl-main b", has_text="bold").count() == 0
    assert HOSTILE in page.title()


def test_what_looks_secret_is_covered_until_asked_for(stand: Stand, open_page: Open) -> None:
    task_id = stand.submit("/chain/process", **CHAIN)
    stand.until(task_id, "SUCCESS")
    page = open_page(f"/tasks/{task_id}")
    given = page.get_by_label("Input")
    given.get_by_role("button", name=re.compile("^payload")).click()
    expect(given).to_contain_text("••••••")
    expect(given).not_to_contain_text("hunter2")
    given.get_by_role("button", name=re.compile("show")).click()
    expect(given).to_contain_text("hunter2")


def test_the_keyboard_is_enough(stand: Stand, open_page: Open) -> None:
    for n in range(2):
        stand.until(stand.submit("/tasks/quick", numbers=[n]), "SUCCESS")
    page = open_page("/tasks")
    expect(page.locator("tbody tr").nth(1)).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator(".sl-field.search")).to_be_focused()
    page.keyboard.press("Escape")
    for key in ("j", "j", "k"):
        page.keyboard.press(key)
    expect(page.locator("tbody tr").nth(0)).to_have_class(re.compile("cursor"))
    page.keyboard.press("x")
    expect(page.locator(".sl-bar")).to_contain_text("1 chosen")
    page.keyboard.press("?")
    expect(page.locator(".sl-dialog")).to_contain_text("Keyboard shortcuts")
    page.keyboard.press("Escape")
    expect(page.locator(".sl-dialog")).to_have_count(0)
    page.keyboard.press("o")
    expect(page).to_have_url(re.compile("/tasks/.{36}$"))
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page).to_have_url(re.compile("/tasks$"))


def test_dark_or_light_and_the_language_are_kept(open_page: Open) -> None:
    page = open_page("/tasks")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    page.wait_for_function(f"{ground} !== '{light}'")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("任务")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.documentElement.lang") == "zh"


def test_a_phone_shows_every_page_without_scrolling_sideways(stand: Stand, open_page: Open) -> None:
    task_id = stand.submit("/chain/process", task_name="A name that is rather long " * 5, **CHAIN)
    stand.until(task_id, "SUCCESS")
    page = open_page("/tasks", viewport={"width": 390, "height": 844}, has_touch=True)
    menu = page.get_by_role("button", name="Menu")
    expect(page.locator(".sl-nav")).not_to_be_in_viewport()
    for address in ["/", f"/tasks/{task_id}", *(f"/{name}" for name in PAGES)]:
        page.evaluate(f"stepline.go('{address}')")
        page.wait_for_function(f"location.pathname === '{address}'")
        expect(page.locator(".sl-main h1").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
    menu.click()
    expect(page.locator(".sl-nav")).to_be_in_viewport()
    page.locator(".sl-nav").get_by_role("link", name="Workers").click()
    expect(page.locator("h1")).to_have_text("Workers")
    expect(page.locator(".sl-nav")).not_to_be_in_viewport()


PAGES = (
    "tasks",
    "queues",
    "workers",
    "failures",
    "dead-letters",
    "new",
    "scheduled",
    "users",
    "system",
)


def test_an_address_that_means_nothing_says_so(open_page: Open) -> None:
    page = open_page("/no/such/page")
    expect(page.locator(".sl-empty")).to_contain_text("Nothing here")


def test_a_task_that_is_not_there_is_told_with_its_code(open_page: Open) -> None:
    page = open_page("/tasks/01a20d9f-383a-7000-8000-000000000000")
    expect(page.locator(".sl-notice")).to_contain_text("not_found")


def test_a_deferred_task_says_why_it_waits_and_is_cancelled(stand: Stand, open_page: Open) -> None:
    task_id = stand.submit("/tasks/quick", numbers=[1], delay=3600, task_name="In an hour")
    page = open_page("/scheduled")
    expect(row(page, task_id)).to_contain_text("In an hour")
    row(page, task_id).get_by_role("link").click()
    expect(page.locator(".sl-notice")).to_contain_text("deferred until its time")
    page.click("[data-key='cancel']")
    page.click(".sl-dialog [data-key='yes']")
    expect(status(page)).to_have_attribute("data-status", "CANCELLED")


def test_users_are_made_changed_and_deleted(open_page: Open) -> None:
    page = open_page("/users")
    page.click("[data-key='new-user']")
    page.get_by_label("User name").fill("grace")
    page.get_by_label("E-mail").fill("nonsense")
    page.click(".sl-dialog [data-key='yes']")
    expect(page.locator(".sl-dialog .wrong")).not_to_be_empty()
    page.get_by_label("E-mail").fill("grace@example.org")
    page.click(".sl-dialog [data-key='yes']")
    grace = page.locator("tbody tr", has_text="grace@example.org")
    expect(grace).to_be_visible()
    grace.get_by_role("button", name="Delete").click()
    expect(page.locator(".sl-dialog")).to_contain_text("Delete grace?")
    page.click(".sl-dialog [data-key='yes']")
    expect(grace).to_have_count(0)


def test_a_queue_is_paused_with_its_reason_and_resumed(stand: Stand, open_page: Open) -> None:
    page = open_page("/queues")
    queue = page.locator("tr[data-id='email_tasks']")
    queue.locator("[data-act='pause']").click()
    expect(page.locator(".sl-dialog")).to_contain_text("Workers take nothing more from it")
    page.get_by_label("Reason").fill("provider is down")
    page.click(".sl-dialog [data-key='yes']")
    expect(queue.locator(".sl-badge")).to_have_attribute("data-status", "paused")
    expect(queue).to_contain_text("provider is down")
    page.evaluate("stepline.go('/')")
    expect(page.locator(".sl-concern", has_text="email_tasks is paused")).to_be_visible()
    page.go_back()
    queue.locator("[data-act='resume']").click()
    expect(queue.locator(".sl-badge")).to_have_attribute("data-status", "active")


def test_a_worker_is_drained_and_takes_work_again(stand: Stand, open_page: Open) -> None:
    running = stand.submit("/tasks/long", duration=600, task_name="In hand")
    page = open_page("/workers")
    expect(row(page, running)).to_contain_text("In hand")
    worker = page.locator("tbody tr").first
    worker.locator("[data-act='drain']").click()
    expect(page.locator(".sl-dialog")).to_contain_text("It takes nothing new")
    page.click(".sl-dialog [data-key='yes']")
    expect(worker.locator(".sl-badge")).to_have_attribute("data-status", "draining")
    worker.locator("[data-act='undrain']").click()
    expect(worker.locator(".sl-badge")).to_have_attribute("data-status", "running")
    stand.post(f"/tasks/{running}/cancel")


def test_failures_of_one_kind_are_retried_and_resolved_together(
    stand: Stand, open_page: Open
) -> None:
    failing: dict[str, Any] = {
        "request_type": "data_validation",
        "chain_type": "validation_only",
        "data": {"payload": {}, "required_fields": ["one", "two", "three", "four"]},
    }
    for _ in range(2):
        stand.until(stand.submit("/chain/process", **failing), "FAILURE")
    page = open_page("/failures")
    group = page.locator("tbody tr", has_text="validation").first
    expect(group).to_contain_text("validation_failed")
    group.locator("[data-act='retry']").click()
    expect(page.locator(".sl-dialog")).to_contain_text(re.compile(r"Retry \d+ tasks\?"))
    page.click(".sl-dialog [data-key='yes']")
    expect(page.locator(".sl-dialog")).to_contain_text("done")
    page.click(".sl-dialog [data-key='close']")
    group.locator("[data-act='tasks']").click()
    expect(page).to_have_url(re.compile("fingerprint="))
    expect(page.locator("tbody tr").first).to_be_visible()


def test_the_overview_tells_what_has_ended_by_type(stand: Stand, open_page: Open) -> None:
    stand.until(stand.submit("/tasks/quick", numbers=[1]), "SUCCESS")
    page = open_page("/")
    expect(page.locator("tr[data-id='quick']")).to_be_visible()
    expect(page.locator(".sl-chart rect").first).to_be_attached()
    page.get_by_label("Time window").select_option("24h")
    expect(page).to_have_url(re.compile("window=24h"))
    expect(page.locator("tr[data-id='quick']")).to_be_visible()


def test_the_system_page_tells_of_each_part(open_page: Open) -> None:
    page = open_page("/system")
    for part in ("broker", "redis", "database", "workers"):
        state = page.locator(f"tr[data-id='{part}'] .sl-badge")
        expect(state).to_have_attribute("data-status", "up")


def test_a_read_only_dashboard_offers_nothing_that_changes(stand: Stand, open_page: Open) -> None:
    running = stand.submit("/tasks/long", duration=600)
    with dashboard_process(stand.deployment, "--read-only") as url:
        page = open_page("/tasks", url=url)
        expect(row(page, running)).to_be_visible()
        expect(page.locator(".sl-link-state")).to_contain_text("read-only")
        for address in (f"/tasks/{running}", "/queues", "/workers", "/users", "/new"):
            page.evaluate(f"stepline.go('{address}')")
            expect(page.locator("h1")).to_be_visible()
            buttons = page.locator(".sl-main .sl-button:not(a), .sl-main input[type=checkbox]")
            expect(buttons).to_have_count(0)
        page.context.close()  # before its server goes
    stand.post(f"/tasks/{running}/cancel")
