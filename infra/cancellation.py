"""Who cancelled a task, when and why: one shape for the state, the event and the history row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

CODE = "cancelled"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """`by` names an API key, or is `anonymous` where none is asked; `at` is RFC 3339."""

    by: str
    at: str
    reason: str | None = None

    @property
    def message(self) -> str:
        because = f": {self.reason}" if self.reason else ""
        return f"cancelled by {self.by}{because}"

    def to_json(self) -> dict[str, Any]:
        return {"by": self.by, "at": self.at, "reason": self.reason}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        return cls(**body)

    def error(self, handler: str | None = None) -> dict[str, Any]:
        """The task's `error`; `handler` is the step that was running."""
        return {
            "code": CODE,
            "message": self.message,
            "handler": handler,
            "details": self.to_json(),
        }
