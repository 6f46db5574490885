"""The engine on the embedded parts, and on real services: the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from stepline.authoring import TaskType

from tests.stack import EngineStack, engine_stack

MakeStack = Callable[..., AbstractAsyncContextManager[EngineStack]]


@pytest.fixture(params=["embedded", pytest.param("services", marks=pytest.mark.services)])
def urls(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings that tell the two apart."""
    if request.param == "embedded":
        return {}
    return {
        "broker_url": request.getfixturevalue("amqp_url"),
        "redis_url": request.getfixturevalue("redis_url"),
        "database_url": request.getfixturevalue("mysql_database"),
    }


@pytest.fixture
async def stack_of(tmp_path: Path, urls: dict[str, str]) -> AsyncIterator[Callable[..., Any]]:
    """`await stack_of(types…, setting=value)` opens an engine with these task types."""
    async with AsyncExitStack() as stack:

        async def make(*types: TaskType, **settings: Any) -> EngineStack:
            return await stack.enter_async_context(engine_stack(tmp_path, urls, types, **settings))

        yield make
