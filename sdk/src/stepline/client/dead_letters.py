"""`client.dead_letters`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stepline.client.listing import Listing, query
from stepline.client.submission import headers_of
from stepline.client.task import Task, accepted
from stepline.client.transport import Transport
from stepline.contract import DeadLetter, DeadLetterPage


class DeadLetters:
    """What nobody could work off: to look at, replay or discard.

    Examples:
        >>> (await client.dead_letters.list().page()).total >= 0
        True
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        reason: str | None = None,
        queue: str | None = None,
        type: str | None = None,  # noqa: A002 - as the API names it
        since: datetime | None = None,
        until: datetime | None = None,
        resolved: bool = False,
        page_size: int = 50,
    ) -> Listing[DeadLetter, DeadLetterPage]:
        """Newest first; those that nobody has seen to yet, or with `resolved` the others.

        Examples:
            >>> [letter.reason async for letter in client.dead_letters.list(queue="email_tasks")]
            []
        """
        where = query(
            reason=reason, queue=queue, type=type, since=since, until=until, resolved=resolved
        )

        async def fetch(cursor: str | None) -> DeadLetterPage:
            params = {**where, **query(cursor=cursor, limit=page_size)}
            return await self._transport.call(DeadLetterPage, "GET", "/dead-letters", params=params)

        return Listing(fetch, lambda page: page.dead_letters)

    async def get(self, letter_id: str) -> DeadLetter:
        """One of them, with its message. Raises `NotFound`.

        Examples:
            >>> try:
            ...     await client.dead_letters.get("no-such-letter")
            ... except NotFound as error:
            ...     print(error.code)
            not_found
        """
        return await self._transport.call(DeadLetter, "GET", f"/dead-letters/{letter_id}")

    async def replay(self, letter_id: str, *, wait: float = 0.0) -> Task[Any]:
        """A new task that does what this one's was to do. Raises `Conflict`
        (`already_resolved`, `not_replayable`).

        Examples:
            >>> try:
            ...     await client.dead_letters.replay("no-such-letter")
            ... except NotFound as error:
            ...     print(error.code)
            not_found
        """
        path = f"/dead-letters/{letter_id}/replay"
        return await accepted(self._transport, path, {}, headers_of(wait, None))

    async def discard(self, letter_id: str) -> DeadLetter:
        """Nothing will come of it. Raises `Conflict` (`already_resolved`).

        Examples:
            >>> try:
            ...     await client.dead_letters.discard("no-such-letter")
            ... except NotFound as error:
            ...     print(error.code)
            not_found
        """
        return await self._transport.call(DeadLetter, "POST", f"/dead-letters/{letter_id}/discard")
