"""`client.queues`."""

from __future__ import annotations

from collections.abc import Sequence

from stepline.client.transport import Transport
from stepline.contract import OrderRequest, Queue, QueueState
from stepline.contract import Queues as QueueList


class Queues:
    """The queues that tasks wait in: look at them, pause them, resume them.

    Examples:
        >>> "email_tasks" in [queue.name for queue in await client.queues.list()]
        True
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> Sequence[Queue]:
        """All queues, with what waits and runs and who takes from them.

        Examples:
            >>> queues = {queue.name: queue for queue in await client.queues.list()}
            >>> queues["email_tasks"].paused is None
            True
        """
        return (await self._transport.call(QueueList, "GET", "/queues")).queues

    async def pause(self, name: str, reason: str | None = None) -> QueueState:
        """Let no worker take from it, until it is resumed; what runs ends. Raises `NotFound`.

        Examples:
            >>> (await client.queues.pause("email_tasks", "the provider is down")).paused.reason
            'the provider is down'
            >>> (await client.queues.resume("email_tasks")).paused is None
            True
        """
        return await self._transport.call(
            QueueState,
            "POST",
            f"/queues/{name}/pause",
            body=OrderRequest(reason=reason),
            repeatable=True,
        )

    async def resume(self, name: str) -> QueueState:
        """Let workers take from it again. Raises `NotFound`.

        Examples:
            >>> (await client.queues.resume("email_tasks")).name
            'email_tasks'
        """
        return await self._transport.call(
            QueueState, "POST", f"/queues/{name}/resume", repeatable=True
        )
