"""One browser tab: what it may use, and the page that it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import json, ui
from stepline.errors import SteplineError, Unauthorized

from dashboard.i18n import Texts
from dashboard.kit import box, button, words

if TYPE_CHECKING:
    from nicegui import Client

    from dashboard.live import Live
    from dashboard.source import Source


@dataclass
class Viewer:
    """What a page needs of the tab that it is shown in."""

    client: Client
    source: Source
    live: Live
    texts: Texts
    read_only: bool
    key_name: str | None = None
    rabbitmq_url: str | None = None

    def run(self, code: str) -> None:
        self.client.run_javascript(code)

    def go(self, path: str) -> None:
        """Show another page."""
        self.run(f"stepline.go({json.dumps(path)})")

    def keep(self, path: str, query: Mapping[str, str]) -> None:
        """Have the address say what is shown, so that a reload and a link show the same."""
        self.run(f"stepline.replace({json.dumps(with_query(path, query))})")

    def tell(self, text: str, *, good: bool = True) -> None:
        """A short notice. Quasar's `html` stays off: it is text."""
        with self.client:
            ui.notify(
                text,
                position="bottom",
                type="positive" if good else "negative",
                timeout=4000 if good else 8000,
                close_button=False if good else "✕",
            )

    def fail(self, error: SteplineError) -> None:
        """Say why something did not work."""
        if isinstance(error, Unauthorized):
            self.run("location.assign('/login')")
            return
        self.tell(self.explain(error), good=False)

    def explain(self, error: SteplineError) -> str:
        return self.texts("went_wrong", message=error.message, code=error.code)

    async def attempt(self, work: Awaitable[Any], done: str | None = None) -> Any | None:
        """Do it and say that it is done, or why not. None if not."""
        try:
            result = await work
        except SteplineError as error:
            self.fail(error)
            return None
        if done:
            self.tell(done)
        return result if result is not None else True

    async def confirm(self, title: str, text: str, verb: str, *, danger: bool = False) -> bool:
        """Ask once, saying what will happen."""
        with self.client, ui.dialog() as dialog, ui.card().classes("sl-dialog"):
            words(title, tag="h2")
            words(text, tag="p")
            with box("buttons"):
                button(self.texts("not_now"), lambda: dialog.submit(False), key="no")
                button(
                    verb,
                    lambda: dialog.submit(True),
                    classes="primary danger" if danger else "primary",
                    key="yes",
                )
        answer = await dialog
        dialog.delete()
        return bool(answer)


def with_query(path: str, query: Mapping[str, str]) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
