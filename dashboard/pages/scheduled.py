"""Deferred and schedules: what waits for its time, and what comes again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard.kit import Column, DataTable, box, button, card, words
from dashboard.page import Page
from dashboard.pages.common import task_name

if TYPE_CHECKING:
    from dashboard.source import Doc

PAGE_SIZE = 50


class ScheduledPage(Page):
    title_key = "nav_scheduled"

    def build(self) -> None:
        t = self.t
        self._changed = asyncio.Event()
        with self.head(sub=t("scheduled_hint")):
            pass
        with card(t("deferred"), flush=True):
            self._deferred = DataTable(
                [
                    Column("name", t("task"), "name"),
                    Column("type", t("type"), roomy=True),
                    Column("due", t("run_at"), "ago"),
                    Column("created", t("created"), "ago", roomy=True),
                ],
                label=t("deferred"),
                empty={
                    "icon": "event_available",
                    "title": t("no_deferred"),
                    "hint": t("no_deferred_hint"),
                },
                on_act=self._act,
            )
            self._pager = box("sl-pager")
        with card(t("schedules"), flush=True):
            self._schedules = DataTable(
                [
                    Column("name", t("type"), "name"),
                    Column("schedule", t("schedule"), "mono"),
                    Column("next", t("next_at"), "ago"),
                    Column("last", t("last_at"), "ago", roomy=True),
                    Column("task", t("last_task"), "link", roomy=True),
                ],
                label=t("schedules"),
                empty={
                    "icon": "update",
                    "title": t("no_schedules"),
                    "hint": t("no_schedules_hint"),
                },
                on_act=self._run_schedule,
            )
        self.start(self._keep_fresh())

    def on_events(self, events: Sequence[Doc]) -> None:
        if any(event["kind"] in ("queued", "cancelled", "reset", "connection") for event in events):
            self._changed.set()

    async def _keep_fresh(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(1.0)
            await self.reload()

    async def load(self) -> None:
        source = self.viewer.source
        cursor = self.query.get("cursor")
        page = await source.tasks({"status": "SCHEDULED"}, cursor=cursor, limit=PAGE_SIZE)
        schedules = await source.schedules()
        with self.root:
            self._deferred.set_rows([self._row(task) for task in page["tasks"]])
            self._schedules.set_rows([self._schedule(item) for item in schedules])
            self._pager.clear()
            with self._pager:
                words(self.t("n_tasks", n=f"{page['total']:,}"), "grow")
                if page["next"]:
                    target = f"{self.path}?cursor={page['next']}"
                    button(self.t("older"), lambda: self.viewer.go(target), classes="small")

    def _row(self, task: Doc) -> Doc:
        t, href = self.t, f"/tasks/{task['task_id']}"
        actions = [
            {"name": "run-now", "label": t("run_now"), "tone": ""},
            {"name": "cancel", "label": t("cancel"), "tone": "danger"},
        ]
        return {
            "id": task["task_id"],
            "href": href,
            "name": {"text": task_name(task), "sub": task["task_id"], "href": href},
            "type": task["type"],
            "due": task.get("run_at"),
            "created": task["created_at"],
            "do": [] if self.viewer.read_only else actions,
        }

    def _schedule(self, item: Doc) -> Doc:
        task_id = item.get("last_task_id")
        return {
            "id": item["type"],
            "name": {
                "text": item["type"],
                "sub": item["timezone"],
                "href": f"/tasks?type={item['type']}",
            },
            "schedule": item["schedule"],
            "next": item.get("next_at"),
            "last": item.get("last_at"),
            "task": {"text": task_id[-8:], "href": f"/tasks/{task_id}"} if task_id else None,
            "do": []
            if self.viewer.read_only
            else [{"name": "run", "label": self.t("run_now"), "tone": ""}],
        }

    async def _act(self, task_id: str, action: str) -> None:
        t, source = self.t, self.viewer.source
        name = next(
            (row["name"]["text"] for row in self._deferred.rows if row["id"] == task_id), ""
        )
        if action == "run-now":
            if await self.viewer.confirm(
                t("run_now_title", name=name), t("run_now_text"), t("run_now")
            ):
                await self.viewer.attempt(source.run_now(task_id), t("run_now_done"))
        elif await self.viewer.confirm(
            t("cancel_title", name=name), t("cancel_waiting_text"), t("cancel_it"), danger=True
        ):
            await self.viewer.attempt(source.cancel(task_id), t("cancel_sent"))
        self._changed.set()

    async def _run_schedule(self, type_name: str, _: str) -> None:
        t = self.t
        if await self.viewer.confirm(
            t("run_schedule_title", type=type_name), t("run_schedule_text"), t("run_now")
        ):
            await self.viewer.attempt(self.viewer.source.run_schedule(type_name), t("run_now_done"))
            self._changed.set()
