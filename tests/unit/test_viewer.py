"""A reader of kept events is given them by pages, no matter how large the events are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from api.viewer import FIRST_PAGE, PAGE, PAGE_BYTES, Viewer


class Paper:
    """A wire that takes everything."""

    gone = full = False
    on_lost: Any = None

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, part: bytes) -> None:
        self.written.append(part)


class Kept(Viewer):
    """So many events of one size, and the end."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self._left = [b"x" * size] * count
        self.pages: list[int] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        yield

    async def read(self) -> Sequence[bytes]:
        self.pages.append(self.page)
        some, self._left = self._left[: self.page], self._left[self.page :]
        if not some:
            self.end()
        return some


@pytest.mark.parametrize(
    ("size", "page"), [(100, PAGE), (PAGE_BYTES // 10, 10), (PAGE_BYTES, 1), (10 * PAGE_BYTES, 1)]
)
async def test_the_larger_the_events_the_fewer_are_read_at_once(size: int, page: int) -> None:
    viewer, paper = Kept(FIRST_PAGE + 3 * page, size), Paper()

    await viewer.run(cast(Any, paper))

    assert viewer.pages == [FIRST_PAGE, page, page, page, page]
    _retry, *pages = paper.written
    assert sum(part.count(b"x") for part in pages) == (FIRST_PAGE + 3 * page) * size
