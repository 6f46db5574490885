"""Many at once: say how many, ask once, show how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nicegui import ui
from stepline.errors import SteplineError

from dashboard.kit import box, button, words

if TYPE_CHECKING:
    from nicegui.element import Element

    from dashboard.source import Action, Doc
    from dashboard.viewer import Viewer

LOOK_EVERY = 0.3


class Bulk:
    """One action upon many, in a dialog: preview, confirmation, progress, end."""

    def __init__(
        self,
        viewer: Viewer,
        action: Action,
        *,
        ids: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        self._viewer = viewer
        self._t = viewer.texts
        self._action = action
        self._ids = ids
        self._where = where
        self._on_done = on_done
        self._dialog: ui.dialog
        self._inside: Element

    async def open(self) -> None:
        try:
            total = await self._preview()
        except SteplineError as error:
            self._viewer.fail(error)
            return
        with self._viewer.client:
            self._dialog = ui.dialog(value=True).props("persistent")
            with self._dialog, ui.card().classes("sl-dialog"):
                self._inside = box("sl-form")
        with self._inside:
            self._ask(total)

    async def _preview(self) -> int:
        if self._ids is not None:
            return len(self._ids)
        return await self._viewer.source.count(self._action, self._where or {})

    def _ask(self, total: int) -> None:
        t = self._t
        words(t(f"bulk_{self._action}_title", n=f"{total:,}"), tag="h2")
        words(t(f"bulk_{self._action}_text") if total else t("bulk_nothing"), tag="p")
        with box("buttons"):
            button(t("not_now"), self._close, key="no")
            if total:
                danger = self._action in ("cancel", "discard")
                button(
                    t(f"bulk_{self._action}", n=f"{total:,}"),
                    self._run,
                    classes="primary danger" if danger else "primary",
                    key="yes",
                )

    async def _run(self) -> None:
        try:
            state = await self._viewer.source.bulk(self._action, ids=self._ids, where=self._where)
        except SteplineError as error:
            self._close()
            self._viewer.fail(error)
            return
        self._inside.clear()
        with self._inside:
            words(self._t(f"bulk_{self._action}_running"), tag="h2")
            bar = ui.linear_progress(0, show_value=False).props("rounded size=6px")
            line = words("", "", "p")
            buttons = box("buttons")
            with buttons:
                button(self._t("bulk_abort"), lambda: self._abort(state["id"]), key="abort")
        while True:
            self._show(state, bar, line)
            if state["state"] != "running":
                break
            await asyncio.sleep(LOOK_EVERY)
            try:
                state = await self._viewer.source.bulk_state(state["id"])
            except SteplineError as error:
                line.set_text(self._viewer.explain(error))
        buttons.clear()
        with buttons:
            button(self._t("close"), self._close, classes="primary", key="close")
        if self._on_done is not None:
            self._on_done()

    def _show(self, state: Doc, bar: ui.linear_progress, line: ui.label) -> None:
        seen = state["done"] + state["skipped"] + state["failed"]
        total = max(1, state["total"])
        bar.set_value(1.0 if state["state"] == "done" else seen / total)
        text = self._t(
            "bulk_so_far",
            done=f"{state['done']:,}",
            total=f"{state['total']:,}",
            skipped=f"{state['skipped']:,}",
            failed=f"{state['failed']:,}",
        )
        if state["state"] == "aborted":
            text = f"{self._t('bulk_aborted')} {text}"
        if state.get("error"):
            text = f"{text} {state['error']['message']}"
        line.set_text(text)

    async def _abort(self, action_id: str) -> None:
        await self._viewer.attempt(self._viewer.source.abort_bulk(action_id))

    def _close(self) -> None:
        self._dialog.close()
