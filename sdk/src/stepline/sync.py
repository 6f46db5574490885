"""The client for scripts: the async one, run by an event loop in a thread of its own.

There is no second implementation. Whatever `stepline.client` gives, this gives blocking: coroutines
return their results, async iterators are plain ones, handles are wrapped in the same way.

    from stepline.sync import Client

    with Client("http://127.0.0.1:8000") as client:
        task = client.submit("quick", {"numbers": [1, 2, 3]})
        for event in task.events():
            print(event.kind)
        print(task.wait())
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import BaseModel

from stepline import client as asynchronous

T = TypeVar("T")

_END = object()


class Portal:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="stepline-sync", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there, wait for it here. An interruption here (Ctrl-C) cancels it there."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("stepline.sync within its own event loop: use stepline.Client")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what runs there, and the thread."""
        self.call(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Proxy:
    """Something async, blocking."""

    def __init__(self, portal: Portal, target: Any) -> None:
        self._portal = portal
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not inspect.ismethod(value):
            return blocking(self._portal, value)

        def method(*args: Any, **named: Any) -> Any:
            return blocking(self._portal, value(*args, **named))

        method.__name__, method.__doc__ = name, value.__doc__
        return method

    def __iter__(self) -> Iterator[Any]:
        return BlockingIterator(self._portal, aiter(self._target))

    def __repr__(self) -> str:
        return repr(self._target)

    def __dir__(self) -> list[str]:
        return dir(self._target)


class BlockingIterator(Iterator[Any]):
    """An async iterator, blocking."""

    def __init__(self, portal: Portal, target: AsyncIterator[Any]) -> None:
        self._portal = portal
        self._target = target

    def __next__(self) -> Any:
        item = self._portal.call(self._next())
        if item is _END:
            raise StopIteration
        return item

    async def _next(self) -> Any:
        return await anext(self._target, _END)

    def close(self) -> None:
        """Leave it before its end."""
        close = getattr(self._target, "aclose", None)
        if close is not None:
            self._portal.call(close())


def blocking(portal: Portal, value: Any) -> Any:
    """What a call gave, for somebody who cannot await."""
    if inspect.iscoroutine(value):
        return blocking(portal, portal.call(value))
    if _waits(value):
        return Proxy(portal, value)
    if isinstance(value, AsyncIterator):
        return BlockingIterator(portal, value)
    if isinstance(value, list):
        return [blocking(portal, item) for item in value]
    return value


def _waits(value: Any) -> bool:
    """Is it a part of the client, whose methods are coroutines?"""
    module = type(value).__module__
    return module.startswith(asynchronous.__name__) and not isinstance(value, BaseModel)


class Client(Proxy):
    """`stepline.Client` with the same parameters and methods, blocking.

    Examples:
        >>> from stepline.sync import Client
        >>> with Client(url) as client:
        ...     task = client.submit("quick", {"numbers": [1, 2, 3]})
        ...     print([event.kind.value for event in task.events()][-1], task.wait()["sum"])
        succeeded 6
    """

    def __init__(self, url: str = "http://127.0.0.1:8000", **options: Any) -> None:
        super().__init__(Portal(), asynchronous.Client(url, **options))

    def __enter__(self) -> Self:
        self._portal.call(self._target.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections and of the thread.

        Examples:
            >>> from stepline.sync import Client
            >>> client = Client(url)
            >>> client.close()
        """
        if not self._portal.closed:
            self._portal.call(self._target.close())
            self._portal.close()
