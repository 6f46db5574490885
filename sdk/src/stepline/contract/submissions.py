"""What the built-in task types take."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, StrictInt, StrictStr, model_validator

from stepline.contract.base import (
    Email,
    FiniteNumber,
    HeaderLine,
    Moment,
    Request,
    Seconds,
    TaskName,
)


class Named(Request):
    """What every submission may carry."""

    task_name: TaskName | None = Field(default=None, description="A name for people.")
    delay: Annotated[Seconds, Field(ge=0)] | None = Field(
        default=None, description="Start after so many seconds, not before."
    )
    run_at: Moment | None = Field(default=None, description="Start at this time, not before.")
    expires_in: Annotated[Seconds, Field(gt=0)] | None = Field(
        default=None, description="Do not start later than so many seconds from now."
    )
    deadline: Moment | None = Field(default=None, description="Do not start after this time.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if self.delay is not None and self.run_at is not None:
            raise ValueError("give delay or run_at, not both")
        if self.expires_in is not None and self.deadline is not None:
            raise ValueError("give expires_in or deadline, not both")
        return self


TIMING = frozenset({"delay", "run_at", "expires_in", "deadline"})
"""The fields of a submission that say when, not what: a retry leaves them behind."""


class LongRequest(Named):
    """Long work, shown second by second."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"duration": 30, "task_name": "大数据ETL处理"}]}
    )

    duration: StrictInt = Field(default=60, ge=1, le=86_400, description="Seconds.", examples=[30])


class QuickRequest(Named):
    """Figures of some numbers."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"numbers": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}]}
    )

    numbers: list[FiniteNumber] = Field(
        min_length=1, max_length=100_000, examples=[[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]
    )


class EmailRequest(Named):
    """One mail."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "recipient": "user@company.com",
                    "subject": "系统处理完成通知",
                    "message": "您的数据处理任务已完成，请查看结果。",
                }
            ]
        }
    )

    recipient: Email = Field(examples=["user@company.com"])
    subject: HeaderLine
    message: Annotated[StrictStr, Field(max_length=1_000_000)]


class BatchRequest(Named):
    """Users to process, by id."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_ids": [101, 102, 103, 104, 105]}]}
    )

    user_ids: list[Annotated[StrictInt, Field(ge=1, le=2**63 - 1)]] = Field(
        min_length=1, max_length=10_000, examples=[[101, 102, 103, 104, 105]]
    )


class FetchRequest(Named):
    """Addresses to fetch, concurrently."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"urls": ["https://example.com/", "https://example.org/"]}]}
    )

    urls: list[Annotated[StrictStr, Field(min_length=1, max_length=2_048)]] = Field(
        min_length=1, max_length=1_000
    )
