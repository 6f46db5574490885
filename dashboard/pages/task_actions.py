"""What can be done to a task: cancel, retry, retry from a step, resubmit, run now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nicegui import ui
from nicegui.element import Element

from dashboard.covering import NothingCovered, covered, uncovered
from dashboard.kit import box, button, words
from dashboard.pages.common import task_name

if TYPE_CHECKING:
    from dashboard.page import Page
    from dashboard.source import Doc


class TaskActions:
    """The buttons of a task's page; each asks once and says what it will do."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._viewer = page.viewer
        self._t = page.t
        self._task: Doc = {}
        self._shown_for = ""
        self._buttons = box("buttons")

    def show(self, task: Doc) -> None:
        self._task = task
        kinds = f"{task['status']}"
        if self._viewer.read_only or kinds == self._shown_for:
            return
        self._shown_for = kinds
        t = self._t
        self._buttons.clear()
        with self._buttons:
            if task["status"] in ("SUCCESS", "FAILURE", "CANCELLED"):
                primary = "primary" if task["status"] == "FAILURE" else ""
                button(t("edit_resubmit"), self._edit, icon_name="edit", key="edit")
                button(t("retry"), self.retry, icon_name="replay", classes=primary, key="retry")
                return
            if task["status"] == "SCHEDULED":
                button(t("run_now"), self._run_now, icon_name="play_arrow", key="run-now")
            button(t("cancel"), self._cancel, icon_name="block", classes="danger", key="cancel")

    async def _cancel(self) -> None:
        t = self._t
        running = self._task["status"] == "RUNNING"
        text = t("cancel_running_text") if running else t("cancel_waiting_text")
        title = t("cancel_title", name=task_name(self._task))
        if await self._viewer.confirm(title, text, t("cancel_it"), danger=True):
            await self._viewer.attempt(
                self._viewer.source.cancel(self._task["task_id"]), t("cancel_sent")
            )

    async def _run_now(self) -> None:
        t = self._t
        title = t("run_now_title", name=task_name(self._task))
        if await self._viewer.confirm(title, t("run_now_text"), t("run_now")):
            await self._viewer.attempt(
                self._viewer.source.run_now(self._task["task_id"]), t("run_now_done")
            )

    async def retry(self, from_step: int | None = None) -> None:
        """Make a new task of this one, from a step on or from the first."""
        t = self._t
        title = t("retry_title", name=task_name(self._task))
        text = t("retry_text")
        if from_step is not None:
            handler = self._task["steps"][from_step]["handler"]
            text = t("retry_from_text", step=handler)
        if not await self._viewer.confirm(title, text, t("retry")):
            return
        made = await self._viewer.attempt(
            self._viewer.source.retry(self._task["task_id"], from_step=from_step), t("retry_done")
        )
        if made:
            self._viewer.go(f"/tasks/{made}")

    async def _edit(self) -> None:
        """Resubmit with another payload."""
        t = self._t
        shown = covered(self._task.get("payload") or {})
        given = json.dumps(shown, indent=2, ensure_ascii=False)
        with self._viewer.client, ui.dialog(value=True) as dialog:
            card = ui.card().classes("sl-dialog").style("width: 640px")
            with card:
                words(t("edit_title", name=task_name(self._task)), tag="h2")
                words(t("edit_text"), tag="p")
                editor = ui.textarea(value=given).props("outlined autogrow").classes("mono-field")
                editor.props["aria-label"] = t("payload")
                wrong = words("", "wrong", "p").style("color: var(--failure)")
                with box("buttons"):
                    button(t("not_now"), dialog.close, key="no")
                    button(
                        t("resubmit"),
                        lambda: self._resubmit(dialog, str(editor.value), wrong),
                        classes="primary",
                        key="yes",
                    )

    async def _resubmit(self, dialog: Element, text: str, wrong: ui.label) -> None:
        try:
            payload = uncovered(json.loads(text), self._task.get("payload"))
        except NothingCovered:
            wrong.set_text(self._t("nothing_covered"))
            return
        except ValueError as error:
            wrong.set_text(self._t("no_json", why=error))
            return
        if not isinstance(payload, dict):
            wrong.set_text(self._t("no_object"))
            return
        made = await self._viewer.attempt(
            self._viewer.source.retry(self._task["task_id"], payload=payload), self._t("retry_done")
        )
        if made:
            dialog.delete()
            self._viewer.go(f"/tasks/{made}")
