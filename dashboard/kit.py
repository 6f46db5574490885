"""The parts that pages are made of. Whatever they are given is shown as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments, handle_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from dashboard.source import Doc

WEB = Path(__file__).parent / "web"


class Component(Element, esm={"stepline-ui": str(WEB / "lib")}):
    """A component of our own, drawn from its properties."""

    def __init__(self, **props: Any) -> None:
        super().__init__()
        self._props.update(props)

    def show(self, **props: Any) -> None:
        """Draw other properties; nothing is sent if they are the same."""
        if any(self._props.get(name) != value for name, value in props.items()):
            self._props.update(props)
            self.update()


class Badge(Component, component=WEB / "sl_badge.js"):
    """A status: its shape, its colour, its name. `status`."""


class Ago(Component, component=WEB / "sl_ago.js"):
    """A time as an age, exact on hover. `at`: RFC 3339."""


class Span(Component, component=WEB / "sl_span.js"):
    """How long, growing while there is no end. `from`, `to`: RFC 3339."""


class Chain(Component, component=WEB / "sl_chain.js"):
    """The handlers in order, each with its state. `nodes`: steps of the contract."""


class Waterfall(Component, component=WEB / "sl_waterfall.js"):
    """Attempts and steps in time. `lanes`: {id, kind, label, status, from, to}."""


class JsonView(Component, component=WEB / "sl_json.js"):
    """A JSON value as foldable text; secrets are covered. `value`, `label`."""


class Chart(Component, component=WEB / "sl_chart.js"):
    """A time chart. `series`: {name, label, tone, values}; `times`; `unit`; `kind`."""


@dataclass(frozen=True)
class Column:
    """A column. `kind` is how cells are drawn (web/sl_table.js); `roomy` ones hide on phones."""

    name: str
    label: str
    kind: str = "text"
    roomy: bool = False


class DataTable(Component, component=WEB / "sl_table.js"):
    """Rows with an `id` each; one may have `href`, and `do`, its buttons. Cells change in place."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        label: str,
        empty: Doc,
        selectable: bool = False,
        on_select: Callable[[list[str]], None] | None = None,
        on_act: Callable[[str, str], Awaitable[None] | None] | None = None,
    ) -> None:
        super().__init__(
            columns=[vars(column) for column in columns],
            rows=[],
            label=label,
            empty=empty,
            selectable=selectable,
            loading=True,
        )
        self.rows: list[Doc] = []
        if on_select is not None:
            self.on("select", lambda event: on_select(list(event.args)))
        if on_act is not None:

            def acted(event: GenericEventArguments) -> None:
                handle_event(lambda: on_act(str(event.args["id"]), str(event.args["name"])), event)

            self.on("act", acted)

    def set_rows(self, rows: Sequence[Doc]) -> None:
        """Show these rows; what is sent is what differs from those shown."""
        before, self.rows = self.rows, list(rows)
        if first := bool(self._props["loading"]):
            # what the page is delivered with; later on only what differs is sent
            with self.props.suspend_updates():
                self._props["rows"], self._props["loading"] = self.rows, False
        order = [row["id"] for row in self.rows]
        if first or [row["id"] for row in before] != order:
            known = {} if first else {row["id"]: row for row in before}
            self.run_method(
                "arrange", order, [row for row in self.rows if known.get(row["id"]) != row]
            )
            return
        changes = [_difference(old, new) for old, new in zip(before, self.rows, strict=True)]
        if changed := [change for change in changes if len(change) > 1]:
            self.run_method("patch", changed)

    def patch(self, changes: dict[str, Doc]) -> None:
        """Change cells: `changes` by row id; unknown ids are left alone."""
        self.set_rows([row | changes.get(row["id"], {}) for row in self.rows])

    def show_empty(self, empty: Doc) -> None:
        self.show(empty=empty)

    def clear_picked(self) -> None:
        self.run_method("clearPicked")


def _difference(old: Doc, new: Doc) -> Doc:
    changed = {
        name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)
    }
    return {"id": new["id"], **changed}


def box(classes: str = "", tag: str = "div") -> Element:
    """A plain element with our own classes."""
    return Element(tag).classes(classes)


def words(text: str, classes: str = "", tag: str = "span") -> ui.label:
    """Text, and nothing but text, whatever it looks like."""
    label = ui.label(text).classes(classes)
    label.tag = tag
    return label


def icon(name: str) -> Element:
    glyph = words(name, "material-icons-outlined", "i")
    glyph.props("aria-hidden=true")
    return glyph


def button(
    text: str,
    on_click: Callable[[], Any],
    *,
    icon_name: str | None = None,
    classes: str = "",
    key: str | None = None,
) -> Element:
    """A button; `key` names it for tests and the keyboard."""
    made = Element("button").classes(f"sl-button {classes}").props("type=button")
    if key is not None:
        made.props["data-key"] = key
    with made:
        if icon_name:
            icon(icon_name)
        words(text)
    return made.on("click", on_click, args=[])


def link(text: str, href: str, classes: str = "", icon_name: str | None = None) -> Element:
    made = Element("a").classes(classes)
    made.props["href"] = href
    with made:
        if icon_name:
            icon(icon_name)
        words(text)
    return made


@contextmanager
def card(
    title: str = "", *, sub: str = "", classes: str = "", flush: bool = False
) -> Iterator[Element]:
    """A framed part of a page; yields its head, for what belongs at its end."""
    with box(f"sl-card {classes}", "section") as made:
        made.props["aria-label"] = title
        head = box("title")
        head.set_visibility(bool(title))
        with head:
            words(title, tag="h2")
            if sub:
                words(sub, "sub")
        with box("body flush" if flush else "body"):
            yield head


@contextmanager
def notice(tone: str, icon_name: str, head: str, text: str = "") -> Iterator[None]:
    """A message within the page; what is made inside stands at its end."""
    with box(f"sl-notice tone-{tone}").props("role=status"):
        icon(icon_name)
        with box("grow"):
            words(head, "head", "div")
            if text:
                words(text, "", "div")
        with box("end"):
            yield


def fact(name: str, *, value: str | None = None) -> Element:
    """A name with its value; without one, what is made inside is."""
    with box("sl-fact"):
        words(name, "k", "div")
        inside = box("v")
        if value is not None:
            with inside:
                words(value)
    return inside
