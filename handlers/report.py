"""What every handler of a data chain returns, and how the next one finds the payload."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from stepline.authoring import Context
from stepline.contract import ChainItem


class StepError(BaseModel):
    """One thing that went wrong in a step; `rule` and `value_kind` where a rule was broken."""

    model_config = ConfigDict(frozen=True)

    error: str
    field: str | None = None
    rule: str | None = None
    value_kind: str | None = None


class StepReport(BaseModel):
    """A step's output: its line in the processing log, and what it made.

    `payload` is the data as this step leaves it (only where it `changes` it); `result` is what else
    it made: `export_result`, `notification_result`, the counts of a validation.
    """

    message: str
    status: Literal["success", "failed", "skipped"] = "success"
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    changes: bool = False
    payload: Any = None
    result: Any = None
    errors: list[StepError] = []
    warnings: list[str] = []

    def dump(self) -> dict[str, Any]:
        """JSON-able, as a handler returns it."""
        return self.model_dump(mode="json", exclude_none=True)


def current_payload(ctx: Context, item: ChainItem) -> Any:
    """The data as the last step that changed it left it: an object, or a list of objects."""
    return latest_payload(ctx.outputs, item.data.payload)


def latest_payload(outputs: Mapping[str, Any], original: Any) -> Any:
    for output in reversed(list(outputs.values())):
        if isinstance(output, dict) and output.get("changes"):
            return output.get("payload")
    return original
