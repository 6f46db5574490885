"""The words of a notification. What users wrote is put into the templates, never read as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jinja2 import DictLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from stepline.authoring import Context
from stepline.contract import ChainItem

Level: TypeAlias = Literal["success", "error", "warning", "info"]

_SUBJECTS = {
    "success": "[success] {{ topic }} finished",
    "error": "[error] {{ topic }} failed",
    "warning": "[warning] {{ topic }} finished with warnings",
    "info": "[info] {{ topic }}",
}

_DEFAULT_MESSAGES = {
    "success": "Your {{ request }} request was processed.",
    "error": "Your {{ request }} request could not be processed as a whole.",
    "warning": "Your {{ request }} request was processed, with something to look at.",
    "info": "This is about your {{ request }} request.",
}

_BODY = """\
{{ message }}

{% for line in remarks -%}
- {{ line }}
{% endfor -%}
{% if export -%}
Export: {{ export.filename }} ({{ export.record_count }} records, {{ export.size_bytes }} bytes)
{% endif -%}
Task: {{ name }}{{ task_id }}
"""

_TEMPLATES = SandboxedEnvironment(
    loader=DictLoader(
        {
            "body": _BODY,
            **{f"subject.{level}": text for level, text in _SUBJECTS.items()},
            **{f"message.{level}": text for level, text in _DEFAULT_MESSAGES.items()},
        }
    ),
    undefined=StrictUndefined,
    autoescape=False,  # plain text goes out, no HTML
    keep_trailing_newline=True,
)

_MOST_REMARKS = 20


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification in words: `subject` is one line, `text` the whole, `message` its heart."""

    level: Level
    subject: str
    message: str
    text: str


def notice_of(ctx: Context, item: ChainItem) -> Notice:
    """The notification about a chain's work so far. Its level is what the request says, or else
    what came of the earlier steps."""
    remarks = _remarks(ctx.outputs)
    level = item.data.template or _level(ctx.outputs)
    request = item.request_type.value.replace("_", " ")
    message = item.data.message or _render(f"message.{level}", request=request)
    text = _render(
        "body",
        message=message,
        remarks=remarks,
        export=_export(ctx.outputs),
        name=f"{_one_line(ctx.task_name)}, " if ctx.task_name else "",
        task_id=ctx.task_id,
    )
    topic = _one_line(ctx.task_name or request)
    return Notice(level, _render(f"subject.{level}", topic=topic), message, text)


def export_of(outputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an earlier export step made, if one did."""
    output = outputs.get("export")
    result = output.get("result") if isinstance(output, dict) else None
    return result if isinstance(result, dict) else None


def _export(outputs: Mapping[str, Any]) -> dict[str, Any] | None:
    result = export_of(outputs)
    named = ("filename", "record_count", "size_bytes")
    return result if result is not None and all(name in result for name in named) else None


def _remarks(outputs: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for report in _reports(outputs):
        lines += [_one_line(str(error.get("error", ""))) for error in report.get("errors", [])]
        lines += [_one_line(str(warning)) for warning in report.get("warnings", [])]
    if len(lines) > _MOST_REMARKS:
        return [*lines[:_MOST_REMARKS], f"and {len(lines) - _MOST_REMARKS} more"]
    return lines


def _level(outputs: Mapping[str, Any]) -> Level:
    reports = _reports(outputs)
    if any(report.get("errors") for report in reports):
        return "error"
    return "warning" if any(report.get("warnings") for report in reports) else "success"


def _reports(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [output for output in outputs.values() if isinstance(output, dict)]


def _render(template: str, **values: Any) -> str:
    return _TEMPLATES.get_template(template).render(values)


def _one_line(text: str) -> str:
    visible = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(visible.split())[:200]
