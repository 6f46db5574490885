"""Tasks: the list of all, live; filtered, chosen from, acted upon."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stepline.contract import EventKind

from dashboard.bulk import Bulk
from dashboard.kit import Column, DataTable, box, button, card, link, words
from dashboard.live import STATUS_AFTER
from dashboard.page import Page
from dashboard.pages.common import WINDOWS, task_row
from dashboard.pages.pager import Pager
from dashboard.pages.task_filters import TaskFilters
from dashboard.pages.task_list import TaskList, surely_fits

if TYPE_CHECKING:
    from dashboard.source import Action, Doc

PAGE_SIZE = 50
TURNS = frozenset({*STATUS_AFTER, EventKind.STARTED})
"""Events after which a task may belong to another list than before."""

CALM = 0.4
"""Seconds between two changes of which rows there are; their cells change at once."""

SETTLED = 0.9
"""Seconds until the list is asked for again after something new: history has heard by then."""

RECHECKED = 5.0
"""Seconds until it is asked for again in any case: history may be behind, and say it later."""


class TasksPage(Page):
    title_key = "nav_tasks"

    def build(self) -> None:
        t = self.t
        self._list = TaskList(PAGE_SIZE)
        self._total = 0
        self._asked = 0
        self._loaded = False
        self._arrivals, self._outdated = asyncio.Event(), asyncio.Event()
        with self.head():
            if not self.viewer.read_only:
                button(t("bulk_many"), self._offer_all, icon_name="checklist", key="bulk")
                link(t("nav_new"), "/new", "sl-button primary", "add")
        self._filters = TaskFilters(self, self._chosen, self._live_changed)
        self._bar = box("sl-bar")
        self._bar.set_visibility(False)
        with card(flush=True):
            self._table = DataTable(
                [
                    Column("name", t("task"), "name"),
                    Column("status", t("status"), "status"),
                    Column("progress", t("progress"), "progress", roomy=True),
                    Column("type", t("type"), roomy=True),
                    Column("queue", t("queue"), roomy=True),
                    Column("took", t("took"), "span", roomy=True),
                    Column("created", t("created"), "ago"),
                ],
                label=t("nav_tasks"),
                empty=self._empty(),
                selectable=not self.viewer.read_only,
                on_select=self._offer,
            )
            self._pager = Pager(self, lambda: self.start(self.reload()))
        self._outdated.set()  # what was accepted a moment ago is not listed yet
        self.start(self._admit())
        self.start(self._ask_again())

    # What is shown

    @property
    def _where(self) -> dict[str, Any]:
        """The filter as the SDK takes it."""
        where: dict[str, Any] = self._filters.chosen
        if (back := WINDOWS.get(where.pop("since", ""))) is not None:
            where["since"] = datetime.now(UTC) - timedelta(seconds=back)
        return where

    async def load(self) -> None:
        self._asked += 1
        mine = self._asked
        source, where, cursor = self.viewer.source, self._where, self._pager.cursor
        page = await self.viewer.live.once(
            f"tasks {sorted(self._filters.chosen.items())} {cursor}",
            lambda: source.tasks(where, cursor=cursor, limit=PAGE_SIZE),
        )
        if mine != self._asked:
            return  # another filter was chosen meanwhile, or the list was paused
        self._loaded = True
        self._total = page["total"]
        self._list.replace(page["tasks"])
        with self.root:
            self._table.show_empty(self._empty())
            self._draw()
            self._pager.show(self._total, capped=page["total_capped"], following=page["next"])

    def _draw(self) -> None:
        progress = self.viewer.live.progress
        self._table.set_rows(
            [task_row(task, progress.get(task["task_id"], {})) for task in self._list]
        )

    def _empty(self) -> Doc:
        if self._filters.chosen:
            return {
                "icon": "filter_alt_off",
                "title": self.t("none_fit"),
                "hint": self.t("none_fit_hint"),
                "href": "/tasks",
                "link": self.t("clear_filters"),
            }
        return {
            "icon": "inbox",
            "title": self.t("no_tasks"),
            "hint": self.t("no_tasks_hint"),
            "href": None if self.viewer.read_only else "/new",
            "link": self.t("nav_new"),
        }

    def _chosen(self) -> None:
        """Another filter: the first page of another list."""
        self._pager.reset()
        self.viewer.keep(self.path, self.query)
        self.start(self.reload())

    def _live_changed(self) -> None:
        if not self._filters.paused:
            self._outdated.set()  # what happened meanwhile may not all be listed yet
            self.start(self.reload())
        elif self._loaded:
            self._asked += 1  # an answer under way may know more than what is shown

    # What happens meanwhile

    def on_events(self, events: Sequence[Doc]) -> None:
        if self._filters.paused:
            return
        touched = False
        for event in events:
            kind = event["kind"]
            if kind in ("reset", "connection"):
                self._outdated.set()
                continue
            listed = event["task_id"] in self._list
            if listed:
                self._list.apply(event)
                touched = True
            elif kind == EventKind.QUEUED and self._belongs(event):
                self._list.arrive(event)
                self._arrivals.set()
            if kind in TURNS and (not listed or self.query.get("status")):
                self._outdated.set()
        if touched:
            self._draw()

    def _belongs(self, event: Doc) -> bool:
        """Is a task that was just accepted surely one of those on this page?"""
        return self._pager.cursor is None and surely_fits(event, self._filters.chosen)

    async def _admit(self) -> None:
        """Let new rows in, not too often for the eye."""
        while True:
            await self._arrivals.wait()
            self._arrivals.clear()
            if self._list.let_in() and not self._filters.paused:
                with self.root:
                    self._draw()
            await asyncio.sleep(CALM)

    async def _ask_again(self) -> None:
        """After something new, the list once more: it knows names, and what the filter hides."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._outdated.wait(), RECHECKED)
                self._outdated.clear()
                await asyncio.sleep(SETTLED)
            if not self._filters.paused:  # to resume is to load anew
                await self.reload()

    # Many at once

    def _offer(self, ids: list[str]) -> None:
        """Actions upon the rows that are chosen."""
        self._bar.clear()
        self._bar.set_visibility(bool(ids))
        with self._bar:
            words(self.t("n_chosen", n=len(ids)), "grow")
            self._action("retry", "retry", "bulk-retry", ids)
            self._action("cancel", "cancel", "bulk-cancel", ids)
            button(self.t("choose_none"), self._table.clear_picked, classes="quiet")

    def _offer_all(self) -> None:
        """Actions upon all that fit the filter, beyond this page."""
        self._bar.clear()
        self._bar.set_visibility(True)
        with self._bar:
            if self._filters.chosen:
                words(self.t("all_that_fit", n=f"{self._total:,}"), "grow")
                self._action("retry", "retry_all", "all-retry", None)
                self._action("cancel", "cancel_all", "all-cancel", None)
            else:
                words(self.t("filter_first"), "grow")
            button(self.t("close"), lambda: self._bar.set_visibility(False), classes="quiet")

    def _action(self, action: Action, text: str, key: str, ids: list[str] | None) -> None:
        button(
            self.t(text),
            lambda: self._bulk(action, ids),
            icon_name="replay" if action == "retry" else "block",
            classes="danger" if action == "cancel" else "",
            key=key,
        )

    async def _bulk(self, action: Action, ids: list[str] | None) -> None:
        where = None if ids is not None else self._where
        await Bulk(self.viewer, action, ids=ids, where=where, on_done=self._bulk_done).open()

    def _bulk_done(self) -> None:
        self._table.clear_picked()
        self.start(self.reload())
