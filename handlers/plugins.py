"""Task types from packages outside this repository: the entry points `stepline.handlers`.

An entry point names a task type, a list of them, or a module that has some at its top level. One
that is broken stops the start: a service that came up without some of its types would lose their
work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from stepline.authoring import TaskType
from stepline.errors import SteplineError

from handlers.builtin import TYPES
from handlers.registry import Registry

GROUP = "stepline.handlers"


class BrokenPlugin(SteplineError):
    """An installed package declares handlers that cannot be used."""

    code = "broken_plugin"


def full_registry() -> Registry:
    """The built-in types and those of all installed packages. Raises `BrokenPlugin`."""
    registry = Registry(TYPES)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        for item in types_of(point):
            try:
                registry.add(item)
            except SteplineError as error:
                raise _broken(point, error) from error
    registry.check_names()
    return registry


def types_of(point: EntryPoint) -> Iterable[TaskType]:
    """What an entry point declares. Raises `BrokenPlugin`."""
    try:
        loaded = point.load()
        found = list(_task_types(loaded))
    except (Exception, SystemExit) as error:
        raise _broken(point, error) from error
    if not found:
        raise _broken(point, TypeError(f"{point.value} is no task type, and has none"))
    return found


def _task_types(loaded: Any) -> Iterator[TaskType]:
    if isinstance(loaded, TaskType):
        yield loaded
    elif isinstance(loaded, ModuleType):
        yield from (item for item in vars(loaded).values() if isinstance(item, TaskType))
    elif isinstance(loaded, Iterable):
        for item in loaded:
            if not isinstance(item, TaskType):
                raise TypeError(f"{item!r:.100} is among the task types, and is none")
            yield item


def _broken(point: EntryPoint, error: BaseException) -> BrokenPlugin:
    package = point.dist.name if point.dist is not None else "a package"
    return BrokenPlugin(
        f"{package} declares {point.name} = {point.value!r} in {GROUP}, but: "
        f"{type(error).__name__}: {error}. Mend it or uninstall it."
    )
