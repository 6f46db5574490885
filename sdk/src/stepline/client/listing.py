"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from stepline.client.submission import instant

Item = TypeVar("Item")


class Page(Protocol):
    """What a page of a list has: the cursor of the next one, and how many there are in all."""

    next: str | None
    total: int


P = TypeVar("P", bound=Page)


class Listing(Generic[Item, P]):
    """A list on the server: `async for` goes over its items, fetching pages as they are needed;
    `page` gets one page, for who turns them by hand.

    Examples:
        >>> async for user in client.users.list():
        ...     print(user.username)
        ...     break
        alice
    """

    def __init__(
        self, fetch: Callable[[str | None], Awaitable[P]], items: Callable[[P], Sequence[Item]]
    ) -> None:
        self._fetch = fetch
        self._items = items

    async def page(self, cursor: str | None = None) -> P:
        """The first page, or the one that another page's `next` leads to.

        Examples:
            >>> listing = client.users.list(page_size=2)
            >>> first = await listing.page()
            >>> second = await listing.page(first.next)
            >>> len(first.users), len(second.users)
            (2, 2)
        """
        return await self._fetch(cursor)

    async def pages(self) -> AsyncIterator[P]:
        """Page after page.

        Examples:
            >>> async for page in client.users.list(page_size=3).pages():
            ...     print(len(page.users))
            ...     break
            3
        """
        cursor = None
        while True:
            page = await self._fetch(cursor)
            yield page
            if page.next is None:
                return
            cursor = page.next

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for page in self.pages():
            for item in self._items(page):
                yield item


def query(**parameters: Any) -> dict[str, str]:
    """Query parameters from what was given; None is left out."""
    return {name: _text(name, value) for name, value in parameters.items() if value is not None}


def _text(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return instant(value, name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
