"""`client.schedules`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepline.client.submission import headers_of
from stepline.client.task import Task, accepted
from stepline.client.transport import Transport
from stepline.contract import Schedule
from stepline.contract import Schedules as ScheduleList


class Schedules:
    """Types that are submitted by the clock.

    Examples:
        >>> [schedule.type for schedule in await client.schedules.list()]
        []
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> Sequence[Schedule]:
        """The types with a schedule: when cron submits the next, and which was the last.

        Examples:
            >>> [schedule.next_at for schedule in await client.schedules.list()]
            []
        """
        return (await self._transport.call(ScheduleList, "GET", "/schedules")).schedules

    async def run(self, task_type: str) -> Task[Any]:
        """Submit a task of the type now, with its schedule's payload. Raises `NotFound`.

        Examples:
            >>> try:
            ...     await client.schedules.run("quick")  # it has no schedule
            ... except NotFound as error:
            ...     print(error.code)
            not_found
        """
        path = f"/schedules/{task_type}/run"
        return await accepted(self._transport, path, {}, headers_of(0.0, None))
