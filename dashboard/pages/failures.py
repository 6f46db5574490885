"""Failures: what fails in the same way, as one line; retried, resolved and reopened together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from dashboard.bulk import Bulk
from dashboard.kit import Column, DataTable, box, card
from dashboard.page import Page
from dashboard.pages.common import WINDOWS, select

if TYPE_CHECKING:
    from dashboard.source import Doc

EVERY = 3.0


class FailuresPage(Page):
    title_key = "nav_failures"

    def build(self) -> None:
        t = self.t
        self._state: Literal["open", "resolved"] = (
            "resolved" if self.query.get("state") == "resolved" else "open"
        )
        self._window = self.query.get("window", "7d")
        if self._window not in WINDOWS:
            self._window = "7d"
        with self.head(sub=t("failures_hint")), box("sl-filters"):
            states = [("open", t("status_open")), ("resolved", t("status_resolved"))]
            select(t("status"), self._state, states, lambda value: self._choose("state", value))
            windows = [(name, t(f"last_{name}")) for name in WINDOWS]
            select(t("window"), self._window, windows, lambda value: self._choose("window", value))
        with card(flush=True):
            self._table = DataTable(
                [
                    Column("name", t("failure"), "name"),
                    Column("type", t("type"), roomy=True),
                    Column("code", t("code"), "mono", roomy=True),
                    Column("count", t("count"), "number"),
                    Column("first", t("first_seen"), "ago", roomy=True),
                    Column("last", t("last_seen"), "ago"),
                ],
                label=t("nav_failures"),
                empty={
                    "icon": "task_alt",
                    "title": t("no_failures"),
                    "hint": t("no_failures_hint"),
                },
                on_act=self._act,
            )
        state, seconds, source = self._state, WINDOWS[self._window], self.viewer.source
        self._poll = self.viewer.live.poll(
            f"failures {state} {seconds}",
            lambda: source.failures(window=seconds, state=state),
            EVERY,
        )
        self.watch(self._poll, self._show)

    def _choose(self, name: str, value: str) -> None:
        query = {"state": self._state, "window": self._window, name: value}
        self.viewer.go(f"/failures?state={query['state']}&window={query['window']}")

    def _show(self, failures: list[Doc]) -> None:
        self._table.set_rows([self._row(group) for group in failures])

    def _row(self, group: Doc) -> Doc:
        t = self.t
        href = f"/tasks/{group['sample_task_id']}?tab=attempts"
        actions = [
            {"name": "tasks", "label": t("nav_tasks"), "tone": ""},
            {"name": "retry", "label": t("retry_all"), "tone": ""},
            {"name": "resolve", "label": t("resolve"), "tone": ""}
            if self._state == "open"
            else {"name": "reopen", "label": t("reopen"), "tone": ""},
        ]
        return {
            "id": group["fingerprint"],
            "href": href,
            "name": {"text": group["message"], "sub": group.get("handler"), "href": href},
            "type": group["type"],
            "code": group["code"],
            "count": group["count"],
            "first": group["first_seen"],
            "last": group["last_seen"],
            "do": [] if self.viewer.read_only else actions,
        }

    async def _act(self, fingerprint: str, action: str) -> None:
        source, t = self.viewer.source, self.t
        if action == "tasks":
            self.viewer.go(f"/tasks?fingerprint={fingerprint}")
            return
        if action == "retry":
            where = {"fingerprint": fingerprint}
            await Bulk(self.viewer, "retry", where=where, on_done=self._poll.nudge).open()
            return
        if action == "resolve":
            await self.viewer.attempt(source.resolve(fingerprint), t("resolved"))
        else:
            await self.viewer.attempt(source.reopen(fingerprint), t("reopened"))
        self._poll.nudge()
