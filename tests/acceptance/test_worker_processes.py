"""`STEPLINE_WORKER_PROCESSES` and `STEPLINE_WORKER_MAX_TASKS`: workers under a supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from stepline.client import Client
from stepline.errors import SteplineError

from tests.acceptance.conftest import Deployment, migrate, planned, service_urls
from tests.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """An API whose workers the tests bring."""
    urls = service_urls(request)
    migrate(urls)
    made = planned("services", tmp_path_factory.mktemp("processes"), urls)
    with made.process("api"):
        yield made


@contextmanager
def supervised(api: Deployment, **settings: int) -> Iterator[subprocess.Popen[bytes]]:
    more = {f"STEPLINE_WORKER_{name.upper()}": str(value) for name, value in settings.items()}
    with replace(api, environment=api.environment | more).process("workers") as supervisor:
        yield supervisor


async def working(client: Client, count: int, *, without: frozenset[int] = frozenset()) -> set[int]:
    """The pids of the workers, when there are so many."""

    async def look() -> set[int] | None:
        try:
            listed = await client.workers.list()
        except SteplineError:  # the API is not up yet
            return None
        pids = {worker.pid for worker in listed if worker.state == "running"} - without
        return pids if len(pids) == count else None

    pids = await wait_for(look, PATIENCE)
    assert pids is not None
    return pids


async def ends(client: Client) -> None:
    task = await client.submit("quick", {"numbers": [1, 2, 3]})
    assert (await task.wait(PATIENCE))["sum"] == 6


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_worker_that_dies_is_replaced_and_the_others_stay(api: Deployment) -> None:
    async with Client(api.url) as client:
        with supervised(api, processes=2) as supervisor:
            first, second = await working(client, 2)
            os.kill(first, signal.SIGKILL)

            now = await working(client, 2, without=frozenset({first}))

            assert second in now
            assert supervisor.pid not in now
            await ends(client)


async def test_a_signal_to_the_supervisor_ends_all_of_them(api: Deployment) -> None:
    async with Client(api.url) as client:
        with supervised(api, processes=2) as supervisor:
            pids = await working(client, 2)
            await ends(client)
            supervisor.send_signal(signal.SIGTERM)

            assert supervisor.wait(PATIENCE) == 0
            assert not any(map(is_alive, pids))


async def test_workers_do_not_outlive_a_supervisor_that_was_killed(api: Deployment) -> None:
    async with Client(api.url) as client:
        with supervised(api, processes=2) as supervisor:
            pids = await working(client, 2)
            supervisor.kill()

            await wait_for(lambda: not any(map(is_alive, pids)), PATIENCE)


async def test_a_worker_that_has_done_its_number_of_tasks_makes_room(api: Deployment) -> None:
    async with Client(api.url) as client:
        with supervised(api, max_tasks=3):
            (first,) = await working(client, 1)
            for _ in range(3):
                await ends(client)

            (second,) = await working(client, 1, without=frozenset({first}))

            assert not is_alive(first)
            assert second != first
            await ends(client)
