"""`client.failures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stepline.client.listing import query
from stepline.client.transport import Transport
from stepline.contract import FailureGroup, FailureGroups


class Failures:
    """Failed tasks by their cause.

    Examples:
        >>> [group.code for group in await client.failures.list(type="email")]
        []
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        window: int | None = None,
        type: str | None = None,  # noqa: A002 - as the API names it
        state: Literal["open", "resolved"] | None = None,
        limit: int = 100,
    ) -> Sequence[FailureGroup]:
        """The groups that were seen within the last `window` seconds, the last seen first. The
        tasks of one are `client.list(fingerprint=…)`; `client.bulk.retry(fingerprint=…)` retries
        them.

        Examples:
            >>> [group.count for group in await client.failures.list(window=3600, type="email")]
            []
        """
        params = query(window=window, type=type, state=state, limit=limit)
        found = await self._transport.call(FailureGroups, "GET", "/failures", params=params)
        return found.failures

    async def get(self, fingerprint: str) -> FailureGroup:
        """One group. Raises `NotFound`.

        Examples:
            >>> try:
            ...     await client.failures.get("0000000000000000")
            ... except NotFound as error:
            ...     print(error.code)
            not_found
        """
        return await self._transport.call(FailureGroup, "GET", f"/failures/{fingerprint}")

    async def resolve(self, fingerprint: str) -> FailureGroup:
        """Mark it as seen to, until it fails again. Raises `NotFound`, `Conflict`.

        Examples:
            >>> try:
            ...     await client.failures.resolve("0000000000000000")
            ... except NotFound as error:
            ...     print(error.code)
            not_found
        """
        path = f"/failures/{fingerprint}/resolve"
        return await self._transport.call(FailureGroup, "POST", path)

    async def reopen(self, fingerprint: str) -> FailureGroup:
        """It is not seen to after all. Raises `NotFound`, `Conflict`.

        Examples:
            >>> try:
            ...     await client.failures.reopen("0000000000000000")
            ... except NotFound as error:
            ...     print(error.code)
            not_found
        """
        path = f"/failures/{fingerprint}/reopen"
        return await self._transport.call(FailureGroup, "POST", path)
