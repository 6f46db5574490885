"""What all wire models share: strict requests, tolerant answers, and the types of fields."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    validate_email,
)


class Request(BaseModel):
    """Base of everything that comes in."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """Base of everything that goes out. The models are built when they are first used: whoever
    imports the client uses few of them."""

    model_config = ConfigDict(extra="ignore", defer_build=True)


def example(body: dict[str, Any]) -> ConfigDict:
    """What a model shows of itself in OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": [body]})


BREAKS = re.compile("[\r\n\0\v\f\x1c-\x1e\x85\u2028\u2029]")
"""Whatever some program or other takes for the end of a line, and NUL."""


def _one_line(text: str) -> str:
    if BREAKS.search(text):
        raise ValueError("must not hold line breaks or NUL")
    return text


TaskName = Annotated[StrictStr, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
HeaderLine = Annotated[StrictStr, Field(min_length=1, max_length=500), AfterValidator(_one_line)]
FiniteNumber = StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]


EARLIEST, LATEST = 1971, 9998


def _sane_year(moment: datetime) -> datetime:
    if not EARLIEST <= moment.year <= LATEST:
        raise ValueError(f"the year must be from {EARLIEST} to {LATEST}")
    return moment


def _written_out(value: Any) -> Any:
    """A bare number would be read as seconds or, if it is large, as milliseconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and "-" in value[1:]):
        return value
    raise ValueError("must be a date and time with its zone, as 2026-01-31T08:00:00Z")


Moment = Annotated[AwareDatetime, AfterValidator(_sane_year), BeforeValidator(_written_out)]
Seconds = Annotated[StrictFloat, Field(allow_inf_nan=False, le=10 * 366 * 86_400)]
EMAIL_SCHEMA = {"type": "string", "format": "email"}
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def _email(value: str) -> str:
    try:
        return validate_email(value)[1]
    except ImportError:  # the SDK alone: the server looks more closely
        if not EMAIL.fullmatch(value):
            raise ValueError("value is not a valid email address") from None
        return value


Email = Annotated[StrictStr, AfterValidator(_email), WithJsonSchema(EMAIL_SCHEMA)]
