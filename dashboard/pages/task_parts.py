"""The lower part of a task's page: input and output, attempts, events, log lines."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from dashboard.kit import Badge, Column, DataTable, JsonView, Span, box, button, card, words

if TYPE_CHECKING:
    from dashboard.i18n import Texts
    from dashboard.pages.task import TaskPage
    from dashboard.source import Doc

TABS = ("io", "attempts", "events", "logs")
OUTCOMES = {
    "running": "running",
    "succeeded": "completed",
    "failed": "failed",
    "retrying": "RETRYING",
    "cancelled": "cancelled",
    "lost": "gone",
}


class TaskParts:
    """Tabs; the address says which is open."""

    def __init__(self, page: TaskPage) -> None:
        self._page = page
        self._t = page.t
        self._task: Doc = {}
        self._drawn: Any = None
        self._open = page.query.get("tab", "io")
        if self._open not in TABS:
            self._open = "io"
        with card():
            self._tabs = box("sl-tabs").props("role=tablist")
            self._inside = box("sl-tab-page").props("role=tabpanel")

    def show(self, task: Doc) -> None:
        self._task = task
        self._show_tabs()
        self._show_inside()

    def _show_tabs(self) -> None:
        self._tabs.clear()
        counts = {
            "attempts": len(self._task["attempts"]),
            "events": sum(len(item["events"]) for item in self._task["attempts"]),
            "logs": len(self._task["logs"]),
        }
        with self._tabs:
            for tab in TABS:
                made = box("sl-tab", "button").props("type=button role=tab")
                made.props["aria-selected"] = str(tab == self._open).lower()
                made.props["data-tab"] = tab
                with made:
                    count = f" {counts[tab]}" if counts.get(tab) else ""
                    words(self._t(f"tab_{tab}") + count)
                made.on("click", partial(self._choose, tab), args=[])

    def _choose(self, tab: str) -> None:
        self._open = tab
        self._page.query["tab"] = tab
        self._page.viewer.keep(self._page.path, self._page.query)
        self._drawn = None
        self._show_tabs()
        self._show_inside()

    def _show_inside(self) -> None:
        """Draw the open tab again, if what it shows has changed."""
        shows = {
            "io": ("payload", "result", "error", "recorded"),
            "attempts": ("attempts", "status"),
            "events": ("attempts",),
            "logs": ("logs",),
        }[self._open]
        now = (self._open, [self._task.get(name) for name in shows])
        if now == self._drawn:
            return
        self._drawn = now
        self._inside.clear()
        with self._inside:
            getattr(self, f"_show_{self._open}")()

    def _show_io(self) -> None:
        t, task = self._t, self._task
        with box("sl-split"):
            with box(""):
                words(t("input"), "sl-label", "h3")
                if task.get("payload") is None:
                    words(t("input_unknown"), "faint", "p")
                else:
                    JsonView(value=task["payload"], label=t("input"))
            with box(""):
                words(t("output"), "sl-label", "h3")
                if task.get("result") is None:
                    words(t("no_output"), "faint", "p")
                else:
                    JsonView(value=task["result"], label=t("output"))

    def _show_attempts(self) -> None:
        if not self._task["attempts"]:
            words(self._t("no_attempts"), "faint", "p")
        for attempt in reversed(self._task["attempts"]):
            self._show_attempt(attempt)

    def _show_attempt(self, attempt: Doc) -> None:
        t = self._t
        with box("sl-attempt"):
            with box("sl-label"):
                words(t("attempt_n", n=attempt["attempt"]), "strong")
                Badge(status=OUTCOMES[attempt["outcome"]])
                Span(**{"from": attempt.get("started_at"), "to": attempt.get("finished_at")})
                words(attempt.get("worker") or "", "sl-mono")
            if error := attempt.get("error"):
                words(f"{error['code']}: {error['message']}", "sl-error", "p")
                details = dict(error.get("details") or {})
                if trace := details.pop("traceback", None):
                    words(str(trace), "sl-trace", "pre")
                if details:
                    JsonView(value=details, label=t("details"))
            for step in attempt["steps"]:
                self._show_step(step)

    def _show_step(self, step: Doc) -> None:
        t = self._t
        ended = self._task["status"] in ("SUCCESS", "FAILURE", "CANCELLED")
        with box("sl-step"):
            with box("sl-step-head"):
                Badge(status=step["status"])
                words(step["handler"], "strong")
                Span(**{"from": step.get("started_at"), "to": step.get("finished_at")})
                if ended and not self._page.viewer.read_only:
                    index = step["index"]
                    button(
                        t("retry_from_here"),
                        partial(self._page.actions.retry, index),
                        classes="small quiet",
                        key=f"retry-from-{index}",
                    )
            if step.get("error"):
                words(f"{step['error']['code']}: {step['error']['message']}", "sl-error", "p")
            if step.get("output") is not None:
                JsonView(value=step["output"], label=t("output"))
            elif step.get("output_left_out"):
                words(t("output_left_out"), "faint", "p")

    def _show_events(self) -> None:
        t = self._t
        table = DataTable(
            [
                Column("at", t("time"), "ago"),
                Column("event", "ID", "mono", roomy=True),
                Column("kind", t("event")),
                Column("handler", t("step")),
                Column("message", t("message"), roomy=True),
            ],
            label=t("tab_events"),
            empty={"icon": "timeline", "title": t("no_events"), "hint": ""},
        )
        table.set_rows(
            [
                {
                    "id": event.get("id") or f"{event['kind']} {event['at']}",
                    "at": event["at"],
                    "event": event.get("id"),
                    "kind": event["kind"],
                    "handler": event.get("handler"),
                    "message": _said(event),
                }
                for attempt in self._task["attempts"]
                for event in attempt["events"]
            ]
        )

    def _show_logs(self) -> None:
        t = self._t
        table = DataTable(
            [
                Column("at", t("time"), "ago"),
                Column("handler", t("step")),
                Column("message", t("message")),
                Column("data", t("details"), "mono", roomy=True),
            ],
            label=t("tab_logs"),
            empty={"icon": "notes", "title": t("no_logs"), "hint": t("no_logs_hint")},
        )
        table.set_rows(
            [
                {
                    "id": str(place),
                    "at": line["at"],
                    "handler": line.get("handler"),
                    "message": line.get("message"),
                    "data": None if line.get("data") is None else str(line["data"]),
                }
                for place, line in enumerate(self._task["logs"])
            ]
        )


def _said(event: Doc) -> str | None:
    if event.get("message"):
        return str(event["message"])
    if error := event.get("error"):
        return f"{error['code']}: {error['message']}"
    if event.get("worker"):
        return str(event["worker"])
    return None


def lanes_of(task: Doc, texts: Texts) -> list[Doc]:
    """The waterfall's lanes: the wait, then each attempt with its steps."""
    lanes: list[Doc] = []
    first = next((item["started_at"] for item in task["attempts"] if item.get("started_at")), None)
    waited_until = first or task.get("finished_at")
    lanes.append(
        {
            "id": "queue",
            "kind": "queue",
            "label": texts("lane_queued"),
            "status": "waiting" if waited_until is None else "completed",
            "from": task["created_at"],
            "to": waited_until,
        }
    )
    for attempt in task["attempts"]:
        number = attempt["attempt"]
        lanes.append(
            _lane(
                f"{number}",
                "attempt",
                texts("attempt_n", n=number),
                OUTCOMES[attempt["outcome"]],
                attempt,
            )
        )
        lanes.extend(
            _lane(f"{number}-{step['index']}", "step", step["handler"], step["status"], step)
            for step in attempt["steps"]
            if step.get("started_at")
        )
    return lanes


def _lane(lane_id: str, kind: str, label: str, status: str, part: Doc) -> Doc:
    return {
        "id": lane_id,
        "kind": kind,
        "label": label,
        "status": status,
        "from": part.get("started_at"),
        "to": part.get("finished_at"),
    }
