"""Dead letters: what nobody could work off, with its reason; replayed or discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from dashboard.bulk import Bulk
from dashboard.kit import Column, DataTable, JsonView, box, button, card, fact, link, words
from dashboard.page import Page
from dashboard.pages.common import select

if TYPE_CHECKING:
    from dashboard.source import Action, Doc

PAGE_SIZE = 50


class DeadLettersPage(Page):
    title_key = "nav_dead"

    def build(self) -> None:
        t = self.t
        self._resolved = self.query.get("state") == "resolved"
        self._letters: dict[str, Doc] = {}
        with self.head(sub=t("dead_hint")):
            states = [("open", t("status_open")), ("resolved", t("status_resolved"))]
            chosen = "resolved" if self._resolved else "open"
            select(
                t("status"),
                chosen,
                states,
                lambda state: self.viewer.go(f"{self.path}?state={state}"),
            )
        self._bar = box("sl-bar")
        self._bar.set_visibility(False)
        with card(flush=True):
            self._table = DataTable(
                [
                    Column("name", t("reason"), "name"),
                    Column("type", t("type"), roomy=True),
                    Column("queue", t("queue"), roomy=True),
                    Column("died", t("died"), "ago"),
                    *([Column("outcome", t("outcome"), "link")] if self._resolved else []),
                ],
                label=t("nav_dead"),
                empty={"icon": "mark_email_read", "title": t("no_dead"), "hint": t("no_dead_hint")},
                selectable=not (self.viewer.read_only or self._resolved),
                on_select=self._on_select,
                on_act=self._act,
            )
            self._pager = box("sl-pager")

    async def load(self) -> None:
        page = await self.viewer.source.dead_letters(
            resolved=self._resolved, cursor=self.query.get("cursor"), limit=PAGE_SIZE
        )
        self._letters = {letter["id"]: letter for letter in page["dead_letters"]}
        with self.root:
            self._table.set_rows([self._row(letter) for letter in page["dead_letters"]])
            self._pager.clear()
            with self._pager:
                words(self.t("n_dead", n=f"{page['total']:,}"), "grow")
                if page["next"]:
                    query = f"state={self.query.get('state', 'open')}&cursor={page['next']}"
                    link(self.t("older"), f"{self.path}?{query}", "sl-button small")

    def _row(self, letter: Doc) -> Doc:
        t = self.t
        error = letter.get("error") or {}
        actions = [{"name": "look", "label": t("look"), "tone": ""}]
        if not (self._resolved or self.viewer.read_only):
            actions += [
                {"name": "replay", "label": t("replay"), "tone": ""},
                {"name": "discard", "label": t("discard"), "tone": "danger"},
            ]
        outcome = None
        if letter.get("resolution"):
            outcome = {"text": t(f"outcome_{letter['resolution']}")}
            if letter.get("replayed_as"):
                outcome["href"] = f"/tasks/{letter['replayed_as']}"
        return {
            "id": letter["id"],
            "name": {"text": letter["reason"], "sub": error.get("message")},
            "type": letter.get("task_type"),
            "queue": letter["queue"],
            "died": letter["died_at"],
            "outcome": outcome,
            "do": actions,
        }

    def _on_select(self, ids: list[str]) -> None:
        self._bar.clear()
        self._bar.set_visibility(bool(ids))
        with self._bar:
            words(self.t("n_chosen", n=len(ids)), "grow")
            button(self.t("replay"), lambda: self._bulk("replay", ids), key="bulk-replay")
            button(
                self.t("discard"),
                lambda: self._bulk("discard", ids),
                classes="danger",
                key="bulk-discard",
            )

    async def _bulk(self, action: Action, ids: list[str]) -> None:
        await Bulk(self.viewer, action, ids=ids, on_done=self._done).open()

    def _done(self) -> None:
        self._table.clear_picked()
        self.start(self.reload())

    async def _act(self, letter_id: str, action: str) -> None:
        t, source = self.t, self.viewer.source
        if action == "look":
            await self._look(letter_id)
        elif action == "replay":
            if await self.viewer.confirm(t("replay_title"), t("replay_text"), t("replay")):
                made = await self.viewer.attempt(source.replay(letter_id), t("replayed"))
                if made:
                    self.viewer.go(f"/tasks/{made}")
        elif await self.viewer.confirm(
            t("discard_title"), t("discard_text"), t("discard"), danger=True
        ):
            await self.viewer.attempt(source.discard(letter_id), t("discarded"))
            await self.reload()

    async def _look(self, letter_id: str) -> None:
        t = self.t
        letter = await self.viewer.attempt(self.viewer.source.dead_letter(letter_id))
        if not letter:
            return
        with self.viewer.client, ui.dialog(value=True) as dialog, ui.card().classes("sl-dialog"):
            words(letter["reason"], tag="h2")
            if letter.get("error"):
                words(f"{letter['error']['code']}: {letter['error']['message']}", "sl-error", "p")
            if letter.get("task_id"):
                with fact(t("task")):
                    link(letter["task_id"], f"/tasks/{letter['task_id']}", "sl-mono")
            JsonView(value=letter.get("message"), label=t("message"))
            with box("buttons"):
                button(t("close"), dialog.close, key="close")
