"""`client.users`."""

from __future__ import annotations

from stepline.client.listing import Listing, query
from stepline.client.transport import Transport
from stepline.contract import NewUser, User, UserChange, UserPage


class UserListPage(UserPage):
    """A page of users; `next` is the cursor of the next one, or None at the end."""

    next: str | None = None


class Users:
    """The people that `batch` works on.

    Examples:
        >>> (await client.users.get(1)).username
        'alice'
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int = 100) -> Listing[User, UserListPage]:
        """All users, by id.

        Examples:
            >>> [user.username async for user in client.users.list()][:3]
            ['alice', 'bob', 'carol']
        """

        async def fetch(cursor: str | None) -> UserListPage:
            offset = int(cursor or 0)
            page = await self._transport.call(
                UserListPage, "GET", "/users/", params=query(offset=offset, limit=page_size)
            )
            end = offset + len(page.users)
            page.next = str(end) if page.users and end < page.total else None
            return page

        return Listing(fetch, lambda page: page.users)

    async def get(self, user_id: int) -> User:
        """One user. Raises `NotFound`.

        Examples:
            >>> (await client.users.get(2)).username
            'bob'
        """
        return await self._transport.call(User, "GET", f"/users/{user_id}")

    async def create(self, *, username: str, email: str) -> User:
        """A new user. Raises `Conflict` for a name or an address that another one has.

        Examples:
            >>> user = await client.users.create(username="dora", email="dora@example.com")
            >>> await client.users.delete(user.id)
        """
        body = NewUser(username=username, email=email)
        return await self._transport.call(User, "POST", "/users/", body=body)

    async def change(
        self, user_id: int, *, username: str | None = None, email: str | None = None
    ) -> User:
        """Change what is given; the rest stays. Raises `NotFound`, `Conflict`.

        Examples:
            >>> user = await client.users.create(username="emil", email="emil@example.com")
            >>> (await client.users.change(user.id, username="emil.k")).username
            'emil.k'
            >>> await client.users.delete(user.id)
        """
        given = {"username": username, "email": email}
        body = UserChange.model_validate(
            {name: value for name, value in given.items() if value is not None}
        ).model_dump(exclude_unset=True)
        return await self._transport.call(User, "PATCH", f"/users/{user_id}", body=body)

    async def delete(self, user_id: int) -> None:
        """Remove a user. Raises `NotFound`.

        Examples:
            >>> user = await client.users.create(username="fred", email="fred@example.com")
            >>> await client.users.delete(user.id)
        """
        await self._transport.request("DELETE", f"/users/{user_id}")
