"""The rows of a live list of tasks: what the API listed, kept up with what has happened since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stepline.contract import EventKind, Status

from dashboard.live import STATUS_AFTER

if TYPE_CHECKING:
    from dashboard.source import Doc

LISTED_WITHIN = timedelta(seconds=1.8)
"""A task that was accepted is in the API's list by then."""


class TaskList:
    """At most `size` tasks, newest first, as documents of the list."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: dict[str, Doc] = {}
        self._arrived: dict[str, Doc] = {}

    def __iter__(self) -> Any:
        return iter(self._tasks.values())

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._tasks or task_id in self._arrived

    def replace(self, listed: Sequence[Doc]) -> None:
        """Take what the API lists, and keep the rows of a moment ago that it cannot know yet."""
        fresh = {task["task_id"]: dict(task) for task in listed}
        recent = (datetime.now(UTC) - LISTED_WITHIN).isoformat()
        unknown = {
            task_id: task
            for task_id, task in self._tasks.items()
            if task.get("provisional") and task_id not in fresh and task["created_at"] > recent
        }
        self._tasks = dict([*unknown.items(), *fresh.items()][: self._size])

    def apply(self, event: Doc) -> None:
        """What an event says of a task that is in the list, or about to be: a quick one has ended
        before it is let in."""
        task_id, kind = event["task_id"], event["kind"]
        task = self._tasks.get(task_id) or self._arrived[task_id]
        task["updated_at"] = event["at"]
        if kind == EventKind.STARTED:
            task["status"], task["finished_at"] = Status.RUNNING, None
            task["started_at"] = task.get("started_at") or event["at"]
        elif (status := STATUS_AFTER.get(kind)) is not None:
            task["status"] = status
            if status.ended:
                task["finished_at"] = event["at"]

    def arrive(self, event: Doc) -> None:
        """Remember a new task, of which only its first event is known, for `let_in`."""
        self._arrived[event["task_id"]] = {
            "task_id": event["task_id"],
            "task_name": event.get("task_name"),
            "type": event["type"],
            "queue": event["queue"],
            "status": Status.PENDING,
            "created_at": event["at"],
            "updated_at": event["at"],
            "provisional": True,
        }

    def let_in(self) -> bool:
        """Put those that arrived on top; False if there are none."""
        arrived, self._arrived = self._arrived, {}
        newest = list(arrived.items())[-self._size :]
        newest.reverse()
        kept = (item for item in self._tasks.items() if item[0] not in arrived)
        self._tasks = dict([*newest, *kept][: self._size])
        return bool(arrived)


def surely_fits(event: Doc, where: Mapping[str, str]) -> bool:
    """Does a task that was just accepted belong to the list of this filter? False also if one
    cannot tell by its event."""
    known = {"status": Status.PENDING.value, "type": event["type"], "queue": event["queue"]}
    known["since"] = where.get("since", "")  # it is new: it fits any
    return all(known.get(name) == value for name, value in where.items())
