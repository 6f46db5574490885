"""What the actions work with, and how they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel
from stepline.authoring import TaskType
from stepline.errors import SteplineError

from infra.broker.base import Broker
from infra.history.base import History
from infra.state.store import State

Model: TypeAlias = type[BaseModel]


class Parts(Protocol):
    """The open services; `infra.resources.Resources` is one."""

    @property
    def broker(self) -> Broker: ...
    @property
    def state(self) -> State: ...
    @property
    def history(self) -> History: ...


class Catalogue(Protocol):
    """The task types; `handlers.registry.Registry` is one."""

    def type(self, name: str) -> TaskType:
        """Raises a `SteplineError` with the code `unknown_name`."""
        ...

    def submission(self, name: str) -> Model:
        """The model of a submission: the type's payload, a name and times."""
        ...

    def queue_of(self, name: str, routes: dict[str, str]) -> str: ...


class ActionRefused(SteplineError):
    """The thing is there, but not in a state that allows this (or the request is wrong).

    Codes: `already_ended`, `not_ended`, `not_scheduled`, `checkpoint_missing`, `unknown_step`,
    `invalid_payload` (with `errors`), `already_resolved`, `not_replayable`.
    """

    def __init__(self, code: str, message: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message, code=code)
        self.errors = list(errors)


class NothingThere(SteplineError):
    """No such task, dead letter or action."""

    code = "not_found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"There is no {what} {name}.")
        self.what = what
        self.name = name
