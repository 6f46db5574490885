"""Group commit: what is handed in while earlier groups are under way is committed together.

Nothing waits for company: when nothing is under way, an item leaves with what came in the same turn
of the event loop. Under load the groups grow by themselves, up to their limits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """Of one group: how many items, how heavy together (whatever the weights count; an item that is
    heavier goes alone)."""

    most: int
    heaviest: int
    under_way: int = 2
    """Groups at once that may leave with fewer items: the fewer, the larger they grow."""
    full_under_way: int = 0
    """Groups at once as long as more items wait than one takes; not fewer than `under_way`."""


@dataclass(slots=True)
class _Waiting(Generic[T]):
    item: T
    weight: int
    done: asyncio.Future[None]


class GroupCommit(Generic[T]):
    """Commits items by groups; each caller waits for its own."""

    def __init__(
        self, commit: Callable[[Sequence[T]], Awaitable[None]], limits: GroupLimits
    ) -> None:
        self._commit = commit
        self._limits = limits
        self._waiting: deque[_Waiting[T]] = deque()
        self._groups: set[asyncio.Task[None]] = set()
        self._called = False

    async def add(self, item: T, weight: int = 0) -> None:
        """Returns when the item's group is committed; raises what its commit raised, as does each
        of its group. A caller that is cancelled leaves its item in the group."""
        await self.begin(item, weight)

    async def add_all(self, items: Iterable[tuple[T, int]]) -> None:
        """As `add`, for several with their weights: they may come into several groups. Raises what
        the first one's commit raised that failed."""
        await asyncio.gather(*[self.begin(item, weight) for item, weight in items])

    def begin(self, item: T, weight: int = 0) -> asyncio.Future[None]:
        """As `add`, for a caller with several to wait for."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, weight, loop.create_future())
        self._waiting.append(waiting)
        if not self._called:
            self._called = True
            loop.call_soon(self._start)
        return waiting.done

    async def close(self, timeout: float) -> None:
        """Let what is under way or waits finish, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._waiting or self._groups:
                    self._start()
                    await asyncio.wait(self._groups, return_when=asyncio.FIRST_COMPLETED)

    async def drop(self) -> None:
        """Give up what is under way or waits; whoever waits for it is cancelled."""
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            item.done.cancel()
        groups = list(self._groups)
        for group in groups:
            group.cancel()
        await asyncio.gather(*groups, return_exceptions=True)

    def _start(self) -> None:
        self._called = False
        while self._waiting and len(self._groups) < self._at_once():
            group = asyncio.create_task(self._run(self._take()))
            self._groups.add(group)
            group.add_done_callback(self._ended)

    def _at_once(self) -> int:
        limits = self._limits
        if len(self._waiting) < limits.most:  # company may come
            return limits.under_way
        return max(limits.under_way, limits.full_under_way)

    def _take(self) -> list[_Waiting[T]]:
        group = [self._waiting.popleft()]
        weight = group[0].weight
        while self._waiting and len(group) < self._limits.most:
            weight += self._waiting[0].weight
            if weight > self._limits.heaviest:
                break
            group.append(self._waiting.popleft())
        return group

    async def _run(self, group: list[_Waiting[T]]) -> None:
        failure: BaseException | None = None
        try:
            await self._commit([waiting.item for waiting in group])
        except asyncio.CancelledError:
            for waiting in group:
                waiting.done.cancel()
            raise
        except Exception as error:  # each caller raises it
            failure = error
        for waiting in group:
            if waiting.done.done():
                continue
            if failure is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(failure)

    def _ended(self, group: asyncio.Task[None]) -> None:
        self._groups.discard(group)
        self._start()
