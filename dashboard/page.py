"""What every page is: built at once, filled as its answers come, told of what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stepline.errors import NotFound, SteplineError, Unauthorized

from dashboard.kit import box, button, notice, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicegui.element import Element

    from dashboard.live import Poll, Stop
    from dashboard.source import Doc
    from dashboard.viewer import Viewer


class Page:
    """A page in one viewer's tab. `build` makes it; `load` asks the API for what it shows."""

    title_key: str

    def __init__(self, viewer: Viewer, path: str, query: Mapping[str, str], **names: str) -> None:
        self.viewer = viewer
        self.t = viewer.texts
        self.path = path
        self.query = dict(query)
        self.names = names
        self.root: Element
        self._stops: list[Stop] = []
        self._work: set[asyncio.Task[Any]] = set()
        self._trouble: Element

    @property
    def title(self) -> str:
        return self.t(self.title_key)

    def build(self) -> None:
        """Make the elements. Nothing is asked here."""
        raise NotImplementedError

    async def load(self) -> None:
        """Ask for what is shown; errors of the SDK are shown in the page."""

    def on_events(self, events: Sequence[Doc]) -> None:
        """What has happened to tasks meanwhile; also `reset` and `connection`."""

    # What pages use

    @contextmanager
    def head(self, title: str | None = None, sub: str | None = None) -> Iterator[Element]:
        """The page's head; what is made inside stands at its right."""
        with box("sl-head", "header"):
            with box("titles"):
                words(title or self.title, tag="h1")
                sub_line = words(sub or "", "sub", "div")
            with box("buttons"):
                yield sub_line
        self._trouble = box("sl-trouble")

    def watch(self, poll: Poll, on_value: Callable[[Any], None]) -> None:
        """Show each answer of a shared poll, until the page is left."""

        def show(value: Any) -> None:
            self.clear_trouble()
            with self.root:
                on_value(value)

        self._stops.append(poll.watch(show, self.show_trouble))

    def start(self, work: Any) -> None:
        """Run a coroutine that ends with the page at the latest."""
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def reload(self) -> None:
        """Load again, and show in the page what stands in the way."""
        try:
            await self.load()
        except SteplineError as error:
            self.show_trouble(error)
        else:
            self.clear_trouble()

    def show_trouble(self, error: SteplineError) -> None:
        if isinstance(error, Unauthorized):
            self.viewer.fail(error)
            return
        self._trouble.clear()
        head, glyph = self.t("no_answer"), "cloud_off"
        if isinstance(error, NotFound):
            head, glyph = self.t("not_there"), "search_off"
        with self._trouble, notice("danger", glyph, head, self.viewer.explain(error)):
            button(self.t("try_again"), lambda: self.start(self.reload()), classes="small")

    def clear_trouble(self) -> None:
        if self._trouble.default_slot.children:
            self._trouble.clear()

    def close(self) -> None:
        """The page is left: nothing of it goes on."""
        for stop in self._stops:
            stop()
        self._stops.clear()
        for task in self._work:
            task.cancel()
