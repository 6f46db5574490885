"""`client.bulk`: one action upon many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from stepline.client.transport import Transport
from stepline.contract import BulkAction, BulkActions, BulkFilter, BulkPreview, BulkRequest
from stepline.errors import WaitTimeout

LOOK_EVERY = 0.5


class Bulk:
    """Retry or cancel many tasks, replay or discard many dead letters.

    Examples:
        >>> action = await client.bulk.retry(status="FAILURE", type="email")
        >>> (await client.bulk.wait(action.id)).state
        'done'
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def retry(self, ids: Sequence[str] | None = None, **where: Any) -> BulkAction:
        """Retry these tasks, or all that fit (the fields of `BulkFilter`).

        Examples:
            >>> (await client.bulk.retry([task.id])).total
            1
        """
        return await self.begin("retry", ids, **where)

    async def cancel(self, ids: Sequence[str] | None = None, **where: Any) -> BulkAction:
        """Cancel these tasks, or all that fit.

        Examples:
            >>> (await client.bulk.cancel(type="email")).action
            'cancel'
        """
        return await self.begin("cancel", ids, **where)

    async def replay(self, ids: Sequence[str] | None = None, **where: Any) -> BulkAction:
        """Replay these dead letters, or all that fit.

        Examples:
            >>> (await client.bulk.replay(queue="email_tasks")).action
            'replay'
        """
        return await self.begin("replay", ids, **where)

    async def discard(self, ids: Sequence[str] | None = None, **where: Any) -> BulkAction:
        """Discard these dead letters, or all that fit.

        Examples:
            >>> (await client.bulk.discard(queue="email_tasks")).action
            'discard'
        """
        return await self.begin("discard", ids, **where)

    async def preview(
        self,
        action: Literal["retry", "cancel", "replay", "discard"],
        ids: Sequence[str] | None = None,
        **where: Any,
    ) -> int:
        """How many `begin` would act upon; nothing is done.

        Examples:
            >>> await client.bulk.preview("cancel", queue="email_tasks")
            0
        """
        body = _request(action, ids, where) | {"dry_run": True}
        found = await self._transport.call(BulkPreview, "POST", "/bulk", body=body, repeatable=True)
        return found.total

    async def begin(
        self,
        action: Literal["retry", "cancel", "replay", "discard"],
        ids: Sequence[str] | None = None,
        **where: Any,
    ) -> BulkAction:
        """Begin an action; the service does it a little at a time, see `progress`. Raises
        pydantic's `ValidationError` unless either `ids` or a filter is given.

        Examples:
            >>> (await client.bulk.begin("cancel", queue="email_tasks")).action
            'cancel'
        """
        body = _request(action, ids, where)
        return await self._transport.call(BulkAction, "POST", "/bulk", body=body)

    async def get(self, action_id: str) -> BulkAction:
        """How far an action is. Raises `NotFound`.

        Examples:
            >>> action = await client.bulk.cancel(type="email")
            >>> (await client.bulk.get(action.id)).id == action.id
            True
        """
        return await self._transport.call(BulkAction, "GET", f"/bulk/{action_id}")

    async def newest(self) -> Sequence[BulkAction]:
        """The newest actions, newest first.

        Examples:
            >>> action = await client.bulk.cancel(type="email")
            >>> action.id in [found.id for found in await client.bulk.newest()]
            True
        """
        return (await self._transport.call(BulkActions, "GET", "/bulk")).actions

    async def abort(self, action_id: str) -> BulkAction:
        """Stop an action where it is; what it has done stays done. Raises `Conflict`
        (`already_ended`).

        Examples:
            >>> action = await client.bulk.cancel(type="email")
            >>> ended = await client.bulk.wait(action.id)
            >>> try:
            ...     await client.bulk.abort(action.id)
            ... except Conflict as error:
            ...     print(error.code)
            already_ended
        """
        return await self._transport.call(BulkAction, "POST", f"/bulk/{action_id}/abort")

    async def progress(self, action_id: str) -> AsyncIterator[BulkAction]:
        """How far an action is, each time that it is further, to its end.

        Examples:
            >>> action = await client.bulk.cancel(type="email")
            >>> [seen.state async for seen in client.bulk.progress(action.id)][-1]
            'done'
        """
        seen: BulkAction | None = None
        while True:
            action = await self.get(action_id)
            if seen is None or action != seen:
                yield action
            if action.state != "running":
                return
            seen = action
            await asyncio.sleep(LOOK_EVERY)

    async def wait(self, action_id: str, timeout: float | None = None) -> BulkAction:
        """The action once it has ended. Raises `WaitTimeout` after `timeout` seconds.

        Examples:
            >>> action = await client.bulk.cancel(type="email")
            >>> (await client.bulk.wait(action.id, timeout=60)).state
            'done'
        """
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                while True:
                    action = await self.get(action_id)
                    if action.state != "running":
                        return action
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise WaitTimeout(f"{action_id} had not ended after {timeout:g} s") from None


def _request(
    action: Literal["retry", "cancel", "replay", "discard"],
    ids: Sequence[str] | None,
    where: dict[str, Any],
) -> dict[str, Any]:
    request = BulkRequest(
        action=action,
        ids=None if ids is None else list(ids),
        filter=BulkFilter(**where) if where else None,
    )
    return request.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
