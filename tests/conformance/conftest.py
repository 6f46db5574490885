"""What several suites need: the state on Redis and on its double, and a task to live there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import uuid_utils

from infra.codec import now
from infra.envelope import TaskMessage
from infra.state.redis import Connections
from infra.state.store import State


@pytest.fixture(params=["fake", pytest.param("redis", marks=pytest.mark.services)])
def connections(request: pytest.FixtureRequest) -> Connections:
    url = "fake://" if request.param == "fake" else request.getfixturevalue("redis_url")
    return Connections(url)


@pytest.fixture
async def state(connections: Connections) -> AsyncIterator[State]:
    state = State(connections)
    yield state
    await state.close()


@pytest.fixture
def task() -> TaskMessage:
    return TaskMessage(
        id=str(uuid_utils.uuid7()),
        type="pair",
        handlers=("first", "second"),
        payload={"a": 1},
        created_at=now(),
        name="a pair",
    )
