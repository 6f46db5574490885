"""The chain builder: handlers chosen in order, each as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from nicegui.element import Element

from dashboard.kit import box, icon, words

if TYPE_CHECKING:
    from dashboard.i18n import Texts


class SequenceField:
    """What can be added above, what was chosen below: moved and removed with buttons."""

    def __init__(
        self,
        texts: Texts,
        choices: Sequence[str],
        chosen: Sequence[str],
        on_change: Callable[[list[str]], None],
    ) -> None:
        self._t = texts
        self._chosen = list(chosen)
        self._on_change = on_change
        with box("sl-builder"):
            with box("sl-chips"):
                for choice in choices:
                    made = box("sl-button small", "button").props("type=button")
                    made.props["data-add"] = choice
                    with made:
                        icon("add")
                        words(choice)
                    made.on("click", partial(self._add, choice), args=[])
            self._list = box("sl-sequence", "ol")
        self._draw()

    def _add(self, choice: str) -> None:
        self._chosen.append(choice)
        self._changed()

    def _remove(self, place: int) -> None:
        del self._chosen[place]
        self._changed()

    def _earlier(self, place: int) -> None:
        self._chosen.insert(place - 1, self._chosen.pop(place))
        self._changed()

    def _changed(self) -> None:
        self._draw()
        self._on_change(list(self._chosen))

    def _draw(self) -> None:
        self._list.clear()
        with self._list:
            if not self._chosen:
                words(self._t("builder_empty"), "faint", "li")
            for place, handler in enumerate(self._chosen):
                with box("", "li"):
                    words(f"{place + 1}", "place")
                    words(handler, "grow")
                    if place:
                        self._small(
                            "arrow_upward", self._t("earlier"), partial(self._earlier, place)
                        )
                    self._small("close", self._t("remove"), partial(self._remove, place))

    def _small(self, glyph: str, label: str, on_click: Callable[[], None]) -> Element:
        made = box("sl-icon-button", "button").props("type=button")
        made.props["aria-label"] = made.props["title"] = label
        with made:
            icon(glyph)
        return made.on("click", on_click, args=[])
