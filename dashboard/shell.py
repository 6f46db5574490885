"""The frame around every page: navigation, the state of the connection, one page at a time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import structlog
from nicegui import json, ui
from nicegui.events import GenericEventArguments

from dashboard.i18n import NAMES
from dashboard.kit import box, button, icon, link, words
from dashboard.pages import NAVIGATION, ROUTES

if TYPE_CHECKING:
    from nicegui.element import Element

    from dashboard.live import Stop
    from dashboard.page import Page
    from dashboard.source import Doc
    from dashboard.viewer import Viewer

FIRST_ANSWER = 0.8
"""Seconds that a page may wait for the API before it is shown without its data."""

WEEK = 7 * 86_400

KEYS = (
    ("/", "key_search"),
    ("j k", "key_move"),
    ("o", "key_open"),
    ("x", "key_pick"),
    ("p", "key_pause"),
    ("n", "key_new"),
    ("g o · g t · g q · g w · g f", "key_go"),
    ("Esc", "key_leave"),
    ("?", "key_help"),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Found:
    """The page that an address means."""

    kind: type[Page]
    path: str
    query: dict[str, str]
    names: dict[str, str]


def find_page(address: str) -> Found | None:
    parts = urlsplit(address)
    path = parts.path.rstrip("/") or "/"
    for pattern, kind in ROUTES:
        shape = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
        if (match := re.fullmatch(shape, path)) is not None:
            return Found(kind, path, dict(parse_qsl(parts.query)), match.groupdict())
    return None


class Shell:
    """One tab's frame. `open` shows the page of an address in it."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.t = viewer.texts
        self.page: Page | None = None
        self._counts: dict[str, ui.label] = {}
        self._stops: list[Stop] = []
        self._main: Element
        self._state: Element
        self._state_text: ui.label
        self._build()
        self._stops.append(viewer.live.subscribe(self._on_events))
        counts = viewer.live.poll("nav", self._ask_counts, 5.0)
        self._stops.append(counts.watch(self._show_counts))
        ui.on("stepline_open", self._on_open)
        ui.on("stepline_help", self._help)
        ui.on_exception(self._on_exception)
        viewer.client.on_delete(self.close)

    def close(self) -> None:
        for stop in self._stops:
            stop()
        if self.page is not None:
            self.page.close()

    async def open(self, address: str) -> None:
        """Show the page of this address; comes back once it has its data, or after a moment."""
        if self.page is not None:
            self.page.close()
        self._main.clear()
        found = find_page(address)
        with self._main:
            if found is None:
                self.page = None
                self._nothing_here()
                self._shown(self.t("not_found"), address)
                return
            self.page = page = found.kind(self.viewer, found.path, found.query, **found.names)
            page.root = box("sl-page")
            with page.root:
                page.build()
        loading = asyncio.create_task(page.reload())
        await asyncio.wait({loading}, timeout=FIRST_ANSWER)
        if self.page is page:
            self._shown(page.title, found.path)

    def _shown(self, title: str, path: str) -> None:
        full = f"{title} · Stepline"
        if not self.viewer.client.has_socket_connection:
            self.viewer.client.title = full
        self.viewer.run(f"stepline.shown({json.dumps(full)}, {json.dumps(path)})")

    async def _on_open(self, event: GenericEventArguments) -> None:
        await self.open(str(event.args))

    def _on_events(self, events: Sequence[Doc]) -> None:
        self._show_connection()
        if self.page is not None:
            with self.page.root:
                self.page.on_events(events)

    def _on_exception(self, error: Exception) -> None:
        """A fault of ours: told to the viewer, and to the log with all that is known."""
        log.error("page_failed", exc_info=error)
        self.viewer.tell(self.t("our_fault"), good=False)

    # The frame

    def _build(self) -> None:
        link(self.t("skip"), "#main", "skip")
        with box("sl-app"):
            with box("sl-topbar", "header"):
                self._icon_button("menu", self.t("menu"), "stepline.openNav()")
                self._brand()
            with box("sl-nav", "nav").props(f"aria-label={json.dumps(self.t('menu'))}"):
                self._brand()
                for group, items in NAVIGATION:
                    if group:
                        words(self.t(group), "group", "div")
                    for path, key, glyph in items:
                        self._nav_item(path, key, glyph)
                self._foot()
            self._main = box("sl-main", "main").props("id=main tabindex=-1")

    def _brand(self) -> None:
        made = box("sl-brand", "a")
        made.props["href"] = "/"
        with made:
            box("logo", "span")
            words("Stepline")

    def _nav_item(self, path: str, key: str, glyph: str) -> None:
        item = box("item", "a")
        item.props["href"] = path
        with item:
            icon(glyph)
            words(self.t(key))
            self._counts[path] = words("", "count")

    def _foot(self) -> None:
        with box("foot"):
            self._state = box("sl-link-state")
            with self._state:
                box("dot", "span")
                self._state_text = words("")
            self._state.props["title"] = self.viewer.source.url
            with box("tools"):
                self._icon_button("dark_mode", self.t("theme"), "stepline.toggleTheme()")
                other = "zh" if self.t.language == "en" else "en"
                self._icon_button("translate", NAMES[other], f"stepline.setLanguage('{other}')")
                self._icon_button("keyboard", self.t("key_help"), "emitEvent('stepline_help')")
                if self.viewer.key_name:
                    leave = self.t("sign_out", name=self.viewer.key_name)
                    self._icon_button("logout", leave, "location.assign('/logout')")
        self._show_connection()

    def _icon_button(self, glyph: str, label: str, code: str) -> None:
        made = box("sl-icon-button", "button").props("type=button")
        made.props["aria-label"] = made.props["title"] = label
        made.on("click", js_handler=f"() => {code}")
        with made:
            icon(glyph)

    def _show_connection(self) -> None:
        connected = self.viewer.live.connected
        self._state.classes(add="" if connected else "away", remove="away" if connected else "")
        text = self.t("live_on") if connected else self.t("live_off")
        if self.viewer.read_only:
            text = f"{text} · {self.t('read_only')}"
        self._state_text.set_text(text)

    async def _ask_counts(self) -> dict[str, int]:
        letters = await self.viewer.source.dead_letters(limit=1)
        groups = await self.viewer.source.failures(window=WEEK, state="open")
        return {"/dead-letters": int(letters["total"]), "/failures": len(groups)}

    def _show_counts(self, counts: dict[str, int]) -> None:
        for path, count in counts.items():
            if path in self._counts:
                self._counts[path].set_text(f"{count:,}" if count else "")
                self._counts[path].classes(
                    add="hot" if count else "", remove="" if count else "hot"
                )

    def _nothing_here(self) -> None:
        with box("sl-empty"):
            icon("explore_off")
            words(self.t("not_found"), "title", "p")
            words(self.t("not_found_hint"), "hint", "p")
            link(self.t("nav_tasks"), "/tasks", "sl-button")

    def _help(self) -> None:
        with self._main, ui.dialog(value=True) as dialog, ui.card().classes("sl-dialog"):
            words(self.t("key_help"), tag="h2")
            with box("sl-keys"):
                for keys, meaning in KEYS:
                    with box("", "span"):
                        for part in keys.split(" · "):
                            for key in part.split(" "):
                                words(key, tag="kbd").style("margin-right: 3px")
                            words(" ").style("margin-right: 6px")
                    words(self.t(meaning))
            with box("buttons"):
                button(self.t("close"), dialog.close, key="close")
