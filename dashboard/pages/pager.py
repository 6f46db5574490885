"""Older and newer pages of a list that the server pages by cursors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dashboard.kit import box, button, words

if TYPE_CHECKING:
    from dashboard.page import Page


class Pager:
    """Keeps the cursor in the page's query. `on_turn` is called when another page is wanted."""

    def __init__(self, page: Page, on_turn: Callable[[], None]) -> None:
        self._page = page
        self._on_turn = on_turn
        self._trail: list[str] = []
        self._shown: tuple[Any, ...] = ()
        self._inside = box("sl-pager")

    @property
    def cursor(self) -> str | None:
        return self._page.query.get("cursor") or None

    def reset(self) -> None:
        """Back to the first page: the list is another one now."""
        self._trail = []
        self._page.query.pop("cursor", None)

    def show(self, total: int, *, capped: bool, following: str | None) -> None:
        """How many there are, and the cursor of the page that follows, if one does."""
        shown = (total, capped, following, self.cursor, len(self._trail))
        if shown == self._shown:
            return
        self._shown = shown
        t = self._page.t
        self._inside.clear()
        with self._inside:
            words(t("n_tasks", n=f"{total:,}{'+' if capped else ''}"), "grow")
            if self.cursor:
                button(t("newest"), self._first, classes="small", key="first")
            if self._trail:
                button(t("newer"), self._back, classes="small", key="back")
            if following:
                button(t("older"), lambda: self._next(following), classes="small", key="next")

    def _first(self) -> None:
        self._trail = []
        self._turn("")

    def _back(self) -> None:
        self._turn(self._trail.pop())

    def _next(self, cursor: str) -> None:
        self._trail.append(self.cursor or "")
        self._turn(cursor)

    def _turn(self, cursor: str) -> None:
        self._page.query["cursor"] = cursor
        self._page.viewer.keep(self._page.path, self._page.query)
        self._page.viewer.run("scrollTo(0, 0)")
        self._on_turn()
