"""The handlers and task types that a process knows: declared without an app, bound at start."""

from __future__ import annotations

from collections.abc import Iterable

from stepline.authoring import Handler, TaskType
from stepline.errors import SteplineError


class DuplicateName(SteplineError):
    """Two handlers or two task types have one name."""

    code = "duplicate_name"


class UnknownName(SteplineError):
    """This process knows no handler or task type of that name."""

    code = "unknown_name"


class Registry:
    """Task types and handlers by name."""

    def __init__(self, types: Iterable[TaskType] = ()) -> None:
        self._types: dict[str, TaskType] = {}
        self._handlers: dict[str, Handler] = {}
        for item in types:
            self.add(item)

    def add(self, item: TaskType) -> None:
        """Bind a type and its handlers. Several types may share one handler."""
        if item.name in self._types:
            raise DuplicateName(f"there is a task type {item.name!r} already")
        for handler in item.handlers:
            known = self._handlers.setdefault(handler.name, handler)
            if known.run is not handler.run:
                raise DuplicateName(
                    f"task type {item.name!r} brings a handler {handler.name!r}, "
                    "but another one has that name"
                )
        self._types[item.name] = item

    @property
    def types(self) -> tuple[TaskType, ...]:
        return tuple(self._types.values())

    def type(self, name: str) -> TaskType:
        """Raises `UnknownName`."""
        try:
            return self._types[name]
        except KeyError:
            raise UnknownName(f"no task type {name!r} here") from None

    def handler(self, name: str) -> Handler:
        """Raises `UnknownName`."""
        try:
            return self._handlers[name]
        except KeyError:
            raise UnknownName(f"no handler {name!r} here") from None

    def queues(self, routes: dict[str, str]) -> tuple[str, ...]:
        """The work queues that the types go to, each once, in order of declaration."""
        return tuple(dict.fromkeys(self.queue_of(item.name, routes) for item in self.types))

    def queue_of(self, name: str, routes: dict[str, str]) -> str:
        """A type's queue: its own, unless the routes send it elsewhere."""
        return routes.get(name) or self.type(name).queue
