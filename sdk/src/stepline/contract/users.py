"""The people that `batch` works on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, StrictStr

from stepline.contract.base import Answer, Email, Request, example


class User(Answer):
    """A user."""

    id: int
    username: str
    email: str
    created_at: datetime


class UserPage(Answer):
    """Users by id."""

    total: int
    users: list[User]


Username = Annotated[
    StrictStr,
    Field(min_length=1, max_length=50, pattern=r"^\w([\w.\- ]*[\w.\-])?$", examples=["alice"]),
]


class NewUser(Request):
    """A user to create; both fields are unique."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "alice.w", "email": "alice@company.com"}]}
    )

    username: Username
    email: Email


class UserChange(Request):
    """What to change of a user; what is left out stays."""

    model_config = example({"email": "alice@company.com"})

    username: Username | None = None
    email: Email | None = None
