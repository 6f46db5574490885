"""`client.workers`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from stepline.client.transport import Transport
from stepline.contract import OrderRequest, Worker, WorkerState
from stepline.contract import Workers as WorkerList


class Workers:
    """The worker processes: look at them, drain them.

    Examples:
        >>> len(await client.workers.list()) >= 1
        True
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> Sequence[Worker]:
        """Those that live, and those that were seen within the last minute, with their tasks.

        Examples:
            >>> [worker.state for worker in await client.workers.list()]
            ['running'...]
        """
        return (await self._transport.call(WorkerList, "GET", "/workers")).workers

    async def drain(self, worker_id: str, reason: str | None = None) -> WorkerState:
        """Let it take nothing new; what runs ends, and it stays up. Raises `NotFound`.

        Examples:
            >>> worker = (await client.workers.list())[0]
            >>> (await client.workers.drain(worker.id, "it will be replaced")).draining.reason
            'it will be replaced'
            >>> (await client.workers.undrain(worker.id)).draining is None
            True
        """
        return await self._transport.call(
            WorkerState,
            "POST",
            f"/workers/{quote(worker_id, safe='')}/drain",
            body=OrderRequest(reason=reason),
            repeatable=True,
        )

    async def undrain(self, worker_id: str) -> WorkerState:
        """Let it take tasks again. Raises `NotFound`.

        Examples:
            >>> worker = (await client.workers.list())[0]
            >>> (await client.workers.undrain(worker.id)).id == worker.id
            True
        """
        return await self._transport.call(
            WorkerState,
            "POST",
            f"/workers/{quote(worker_id, safe='')}/undrain",
            repeatable=True,
        )
