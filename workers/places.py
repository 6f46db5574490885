"""Places that are taken several at a time, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Places:
    """So many places. Who wants more than there are gets all of them."""

    def __init__(self, count: int) -> None:
        self._count = self._free = count
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def wanted(self) -> bool:
        """Does anybody wait for one?"""
        return bool(self._waiting)

    @asynccontextmanager
    async def taken(
        self, wanted: int = 1, *, first: bool = False
    ) -> AsyncIterator[Callable[[], None]]:
        """Take as many, and give them back at the end; `first` passes whoever waits already. Yields
        what gives one back before."""
        held = min(wanted, self._count)
        await self._take(held, first=first)

        def give_one() -> None:
            nonlocal held
            if held:
                held -= 1
                self._give(1)

        try:
            yield give_one
        finally:
            self._give(held)

    async def _take(self, wanted: int, *, first: bool) -> None:
        if wanted <= self._free and (first or not self._waiting):
            self._free -= wanted
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft((wanted, turn))
        else:
            self._waiting.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # they had been given just now
                self._give(wanted)
            else:
                self._serve()
            raise

    def _give(self, places: int) -> None:
        self._free += places
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.done():
                if wanted > self._free:
                    return
                self._free -= wanted
                turn.set_result(None)
            self._waiting.popleft()
