"""The filters over the list of tasks: counts by status to click on, fields, live or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from stepline.contract import Status
from stepline.errors import SteplineError

from dashboard.kit import Badge, box, button, words
from dashboard.pages.common import WINDOWS, field, select

if TYPE_CHECKING:
    from nicegui import ui
    from nicegui.element import Element

    from dashboard.page import Page

FILTERS = ("status", "type", "queue", "worker", "fingerprint", "since", "text")
BY_LINK = "fingerprint"
"""A filter that the page of failures links to, shown only while it is on."""

DAY = 86_400


class TaskFilters:
    """Draws the page's query; `on_choose` hears of each change of it, `on_live` of pausing."""

    def __init__(self, page: Page, on_choose: Callable[[], None], on_live: Callable[[], None]):
        self._page = page
        self._t = page.t
        self._on_choose = on_choose
        self._on_live = on_live
        self._names: dict[str, list[str]] = {"type": [], "queue": [], "worker": []}
        self._buttons: dict[str, Element] = {}
        self._counts: dict[str, ui.label] = {}
        with box("sl-counts"):
            for status in ("", *Status):
                self._build_status(status)
        self._fields = box("sl-filters")
        with self._fields:
            self._build_search()
            self._choices = box("sl-as-if-absent")
        self._build_fields()
        counts = page.viewer.live.poll("counts", self._ask_counts, 2.0)
        page.watch(counts, self._show_counts)
        page.start(self._ask_names())

    @property
    def chosen(self) -> dict[str, str]:
        """The filters that are on."""
        return {name: self._page.query[name] for name in FILTERS if self._page.query.get(name)}

    @property
    def paused(self) -> bool:
        return self._page.query.get("live") == "off"

    def _choose(self, name: str, value: str) -> None:
        if self._page.query.get(name, "") == value:
            return
        self._page.query[name] = value
        if name == "status":
            for status, made in self._buttons.items():
                made.props["aria-pressed"] = str(status == value).lower()
        if name == BY_LINK:
            self._build_fields()
        self._on_choose()

    def _toggle_live(self) -> None:
        self._page.query["live"] = "" if self.paused else "off"
        self._page.viewer.keep(self._page.path, self._page.query)
        self._build_fields()
        self._on_live()

    # Statuses with their counts

    async def _ask_counts(self) -> dict[str, int]:
        """Those that have not ended, and those that ended within a day."""
        stats = await self._page.viewer.source.stats(DAY)
        counts: dict[str, int] = stats["now"]["by_status"]
        return counts

    def _show_counts(self, counts: dict[str, int]) -> None:
        for status, count in counts.items():
            self._counts[status].set_text(f"{count:,}")

    def _build_status(self, status: str) -> None:
        made = self._buttons[status] = box("sl-count", "button").props("type=button")
        made.props["data-status"] = status or "ALL"
        made.props["aria-pressed"] = str(self._page.query.get("status", "") == status).lower()
        if status and Status(status).ended:
            made.props["title"] = self._t("ended_today")
        with made:
            if status:
                Badge(status=status)
                self._counts[status] = words("", "n")
            else:
                words(self._t("all"))
        made.on("click", lambda: self._choose("status", status), args=[])

    # Fields

    async def _ask_names(self) -> None:
        source, live = self._page.viewer.source, self._page.viewer.live
        try:
            types, workers = await asyncio.gather(
                live.once("types", source.task_types, 60.0), live.once("workers", source.workers)
            )
        except SteplineError as error:
            self._page.show_trouble(error)
            return
        self._names = {
            "type": sorted(item["name"] for item in types),
            "queue": sorted({item["queue"] for item in types}),
            "worker": sorted(item["id"] for item in workers),
        }
        with self._page.root:
            self._build_fields()

    def _build_search(self) -> None:
        """Once: what is typed there would be lost with it if it were built anew."""
        field(
            self._t("search"),
            self._page.query.get("text", ""),
            lambda text: self._choose("text", text),
            kind="search",
            placeholder=self._t("search_tasks"),
            classes="search",
        )

    def _build_fields(self) -> None:
        t, query = self._t, self._page.query
        self._choices.clear()
        with self._choices:
            self._select("type")
            self._select("queue")
            if len(self._names["worker"]) > 1 or query.get("worker"):
                self._select("worker")
            windows = [("", t("any_time")), *((name, t(f"last_{name}")) for name in WINDOWS)]
            since = query.get("since", "")
            select(t("since"), since, windows, lambda value: self._choose("since", value))
            if query.get(BY_LINK):
                text = f"{t(BY_LINK)}: {query[BY_LINK]}  ✕"
                button(text, lambda: self._choose(BY_LINK, ""), classes="quiet")
            pause = button(
                t("resume_live" if self.paused else "pause_live"),
                self._toggle_live,
                icon_name="play_arrow" if self.paused else "pause",
                key="p",
            )
            pause.props["aria-pressed"] = str(self.paused).lower()

    def _select(self, name: str) -> None:
        """A choice among the names that are known, and what is chosen even if it is not."""
        chosen = self._page.query.get(name, "")
        names = self._names[name]
        if chosen and chosen not in names:
            names = [*names, chosen]
        options = [("", self._t(f"any_{name}")), *((item, item) for item in names)]
        select(self._t(name), chosen, options, lambda value: self._choose(name, value))
