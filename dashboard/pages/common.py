"""What several pages say in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nicegui.element import Element

from dashboard.kit import words

if TYPE_CHECKING:
    from dashboard.source import Doc

WINDOWS: Mapping[str, int] = {"1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
"""How far back, as the address says it, in seconds."""


def task_name(task: Mapping[str, Any]) -> str:
    return str(task.get("task_name") or task.get("type") or task["task_id"])


def task_row(task: Doc, progress: Mapping[str, Any]) -> Doc:
    """A task of the list as a row of the table."""
    running = task["status"] in ("RUNNING", "RETRYING")
    return {
        "id": task["task_id"],
        "href": f"/tasks/{task['task_id']}",
        "name": {
            "text": task_name(task),
            "sub": task["task_id"],
            "href": f"/tasks/{task['task_id']}",
        },
        "status": task["status"],
        "progress": {"percent": progress.get("percent"), "text": progress.get("step")}
        if running
        else None,
        "type": task["type"],
        "queue": task["queue"],
        "took": {"from": task.get("started_at"), "to": task.get("finished_at")},
        "created": task["created_at"],
    }


def select(
    label: str, value: str, options: Sequence[tuple[str, str]], on_change: Callable[[str], None]
) -> Element:
    """A plain select of the browser's own: (value, text) each."""
    made = Element("select").classes("sl-field")
    made.props["aria-label"] = label
    with made:
        for option, text in options:
            item = Element("option")
            item.props["value"] = option
            if option == value:
                item.props["selected"] = True
            with item:
                words(text)
    return made.on("change", lambda event: on_change(str(event.args)), js_handler=EMIT_VALUE)


EMIT_VALUE = "(event) => emit(event.target.value)"


def field(
    label: str,
    value: str,
    on_change: Callable[[str], None],
    *,
    kind: str = "text",
    placeholder: str = "",
    classes: str = "",
    throttle: float = 0.3,
) -> Element:
    """A plain input; `on_change` hears of it as it is typed, at most every `throttle` seconds."""
    made = Element("input").classes(f"sl-field {classes}")
    # not `value`: that would be written again at each drawing, over what is being typed
    made.props.update(
        {"type": kind, "defaultValue": value, "placeholder": placeholder, "aria-label": label}
    )
    made.on(
        "input",
        lambda event: on_change(str(event.args)),
        js_handler=EMIT_VALUE,
        throttle=throttle,
        leading_events=False,
    )
    return made
