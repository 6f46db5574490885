"""Queues: how deep, how old, how fast; pause and resume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nicegui import ui

from dashboard.kit import Column, DataTable, box, button, card, words
from dashboard.page import Page
from dashboard.pages.common import field

if TYPE_CHECKING:
    from dashboard.source import Doc


class QueuesPage(Page):
    title_key = "nav_queues"

    def build(self) -> None:
        t = self.t
        self._queues: dict[str, Doc] = {}
        with self.head(sub=t("queues_hint")):
            if self.viewer.rabbitmq_url:
                made = box("sl-button", "a").props("target=_blank rel=noopener")
                made.props["href"] = self.viewer.rabbitmq_url
                with made:
                    words(t("rabbitmq_ui"))
        with card(flush=True):
            self._table = DataTable(
                [
                    Column("name", t("queue"), "name"),
                    Column("state", t("status"), "status"),
                    Column("waiting", t("waiting"), "number"),
                    Column("depths", t("last_minute"), "spark", roomy=True),
                    Column("oldest", t("oldest"), "seconds", roomy=True),
                    Column("running", t("status_RUNNING"), "number"),
                    Column("rate_in", t("rate_in"), "right", roomy=True),
                    Column("rate_out", t("rate_out"), "right", roomy=True),
                    Column("consumers", t("consumers"), "number", roomy=True),
                ],
                label=t("nav_queues"),
                empty={"icon": "inbox", "title": t("no_queues"), "hint": ""},
                on_act=self._act,
            )
        self.watch(self.viewer.live.queues(), self._show)

    def on_events(self, events: Sequence[Doc]) -> None:
        if any(str(event["kind"]).startswith("queue.") for event in events):
            self.viewer.live.queues().nudge()

    def _show(self, queues: list[Doc]) -> None:
        self._queues = {queue["name"]: queue for queue in queues}
        wanted = self.query.get("q")
        self._table.set_rows(
            [
                self._row(queue) | {"dim": bool(wanted) and queue["name"] != wanted}
                for queue in queues
            ]
        )

    def _row(self, queue: Doc) -> Doc:
        t, name = self.t, queue["name"]
        paused = queue.get("paused")
        who = ""
        if paused:
            who = t("paused_by", who=paused["by"])
            if paused.get("reason"):
                who = f"{who}: {paused['reason']}"
        action = {"name": "pause", "label": t("pause"), "tone": ""}
        if paused:
            action = {"name": "resume", "label": t("resume"), "tone": "primary"}
        return {
            "id": name,
            "name": {
                "text": name,
                "sub": who or ", ".join(queue["types"]),
                "href": f"/tasks?queue={name}",
            },
            "state": "paused" if paused else "active" if queue["consumers"] else "unserved",
            "waiting": queue["waiting"],
            "depths": list(self.viewer.live.depths.get(name, ())),
            "oldest": queue.get("oldest_age"),
            "running": queue["running"],
            "rate_in": _per_second(queue.get("rate_in")),
            "rate_out": _per_second(queue.get("rate_out")),
            "consumers": queue["consumers"],
            "do": [] if self.viewer.read_only else [action],
        }

    async def _act(self, name: str, action: str) -> None:
        t = self.t
        if action == "resume":
            await self.viewer.attempt(self.viewer.source.resume(name), t("resumed", queue=name))
            self.viewer.live.queues().nudge()
            return
        reason = {"text": ""}
        with self.viewer.client, ui.dialog(value=True) as dialog, ui.card().classes("sl-dialog"):
            words(t("pause_title", queue=name), tag="h2")
            words(t("pause_text"), tag="p")
            with box("sl-form"):
                field(
                    t("reason"),
                    "",
                    lambda text: reason.update(text=text),
                    placeholder=t("reason"),
                    throttle=0,
                )
            with box("buttons"):
                button(t("not_now"), lambda: dialog.submit(False), key="no")
                button(t("pause"), lambda: dialog.submit(True), classes="primary", key="yes")
        if await dialog:
            await self.viewer.attempt(
                self.viewer.source.pause(name, reason["text"] or None), t("paused", queue=name)
            )
            self.viewer.live.queues().nudge()


def _per_second(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:,.1f}/s"
