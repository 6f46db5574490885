"""The handlers and task types that a process knows: declared without an app, bound at start."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, PydanticUserError, create_model
from stepline.authoring import Handler, TaskType
from stepline.contract import Named
from stepline.errors import SteplineError

Model: TypeAlias = type[BaseModel]


class DuplicateName(SteplineError):
    """Two handlers or two task types have one name."""

    code = "duplicate_name"


class UnknownName(SteplineError):
    """This process knows no handler or task type of that name."""

    code = "unknown_name"


class BadTaskType(SteplineError):
    """A task type that cannot work as it is declared."""

    code = "bad_task_type"


RESERVED = frozenset({"active", "bulk"})
"""Words that the API's own routes under `/tasks/` use."""

QUEUE_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
RESERVED_QUEUES = frozenset({"history", "dead_letters", "scheduled"})


def check(item: TaskType) -> None:
    """Raise `BadTaskType` for what would only show itself later."""
    if item.name in RESERVED:
        raise BadTaskType(f"task type {item.name!r}: /tasks/{item.name} is taken by the API")
    if not QUEUE_NAME.fullmatch(item.queue) or item.queue in RESERVED_QUEUES:
        raise BadTaskType(f"task type {item.name!r}: no queue may be named {item.queue!r}")
    clash = set(item.payload.model_fields) & set(Named.model_fields)
    if clash and not issubclass(item.payload, Named):
        raise BadTaskType(
            f"task type {item.name!r}: its payload has a field {min(clash)!r}, which every "
            "submission has already"
        )
    if not (item.handlers or item.named):
        raise BadTaskType(f"task type {item.name!r}: it has no handlers")
    limits = [item.timeout, *(h.timeout for h in item.handlers if h.timeout is not None)]
    if not all(0 < limit < math.inf for limit in limits):
        raise BadTaskType(f"task type {item.name!r}: a timeout is a number of seconds above 0")
    try:
        item.payload.model_json_schema()
    except PydanticUserError as error:
        raise BadTaskType(
            f"task type {item.name!r}: its payload has no JSON schema: {error.message}"
        ) from error
    if item.schedule is not None:
        check_schedule(item)


def check_schedule(item: TaskType) -> None:
    """Raise `BadTaskType` for a schedule, or its payload, that is none."""
    if item.schedule is None:
        return
    try:
        CronSim(item.schedule, datetime.now(ZoneInfo(item.timezone)))
        item.payload.model_validate(dict(item.schedule_payload))
    except (CronSimError, ZoneInfoNotFoundError, ValueError) as error:
        raise BadTaskType(f"task type {item.name!r}: its schedule: {error}") from error


def combine(payload: type[BaseModel]) -> type[BaseModel]:
    """A payload model with the fields that every submission has. Unknown fields are refused, unless
    the payload says otherwise: its configuration comes last, and wins."""
    return create_model(payload.__name__, __base__=(Named, payload), __doc__=payload.__doc__)


class Registry:
    """Task types and handlers by name."""

    def __init__(self, types: Iterable[TaskType] = ()) -> None:
        self._types: dict[str, TaskType] = {}
        self._handlers: dict[str, Handler] = {}
        self._submissions: dict[str, Model] = {}
        for item in types:
            self.add(item)

    def add(self, item: TaskType) -> None:
        """Bind a type and its handlers. Several types may share one handler. Raises
        `DuplicateName`, or `BadTaskType` for one that cannot work."""
        if item.name in self._types:
            raise DuplicateName(f"there is a task type {item.name!r} already")
        check(item)
        for handler in item.handlers:
            known = self._handlers.setdefault(handler.name, handler)
            if known.run is not handler.run:
                raise DuplicateName(
                    f"task type {item.name!r} brings a handler {handler.name!r}, "
                    "but another one has that name"
                )
        self._types[item.name] = item

    def check_names(self) -> None:
        """Every handler that a type uses by name is some type's. Raises `UnknownName`."""
        for item in self.types:
            for name in item.named:
                if name not in self._handlers:
                    raise UnknownName(
                        f"task type {item.name!r} uses a handler {name!r}, which nobody declares"
                    )

    @property
    def types(self) -> tuple[TaskType, ...]:
        return tuple(self._types.values())

    def __contains__(self, name: str) -> bool:
        return name in self._types

    def type(self, name: str) -> TaskType:
        """Raises `UnknownName`."""
        try:
            return self._types[name]
        except KeyError:
            raise UnknownName(f"no task type {name!r} here") from None

    def submission(self, name: str) -> Model:
        """What a submission of this type looks like: its payload, a name and times."""
        if name not in self._submissions:
            payload = self.type(name).payload
            self._submissions[name] = payload if issubclass(payload, Named) else combine(payload)
        return self._submissions[name]

    def handler(self, name: str) -> Handler:
        """Raises `UnknownName`."""
        try:
            return self._handlers[name]
        except KeyError:
            raise UnknownName(f"no handler {name!r} here") from None

    def queues(self, routes: dict[str, str]) -> tuple[str, ...]:
        """The work queues that the types go to, each once, in order of declaration. Raises
        `UnknownName` where the routes send a type that nobody declares."""
        if unknown := sorted(set(routes) - set(self._types)):
            raise UnknownName(
                f"STEPLINE_ROUTES sends {unknown[0]!r} to a queue, but the task types are "
                f"{', '.join(self._types)}"
            )
        return tuple(dict.fromkeys(self.queue_of(item.name, routes) for item in self.types))

    def queue_of(self, name: str, routes: dict[str, str]) -> str:
        """A type's queue: its own, unless the routes send it elsewhere."""
        return routes.get(name) or self.type(name).queue
