"""The users that handlers may read, from the history database."""

from __future__ import annotations

from collections.abc import Sequence

from stepline.authoring import UserRecord
from stepline.errors import Retry

from infra.history.base import History, HistoryUnavailable


class HistoryUsers:
    """`stepline.authoring.Users` over the history's users table."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def get_many(self, ids: Sequence[int]) -> dict[int, UserRecord]:
        try:
            return await self._history.get_users(ids)
        except HistoryUnavailable as error:
            raise Retry(f"the database is away: {error}", code="database_unavailable") from error
