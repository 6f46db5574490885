"""The blocking front: the same client, for scripts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from stepline.contract import EventKind, QuickRequest, Status
from stepline.errors import BadRequest, NotFound, WaitTimeout
from stepline.sync import Client

from tests.acceptance.conftest import Deployment

pytestmark = pytest.mark.parametrize("deployment", ["embedded"], indirect=True)


@pytest.fixture
def client(deployment: Deployment) -> Iterator[Client]:
    with Client(deployment.url, patience=10.0) as client:
        yield client


def test_submit_watch_wait(client: Client) -> None:
    task = client.submit(QuickRequest(numbers=[1, 2]), task_name="from a script")

    assert task.wait(timeout=20)["sum"] == 3
    assert [event.kind for event in task.events()][-1] is EventKind.SUCCEEDED
    assert task.status().task_name == "from a script"
    assert client.task(task.id).result().status is Status.SUCCESS
    assert repr(task) == f"Task({task.id!r})"


def test_a_stream_may_be_left_and_lists_are_lists(client: Client) -> None:
    task = client.submit("long", {"duration": 30})
    for event in task.events():
        if event.kind is EventKind.STARTED:
            break
    with pytest.raises(WaitTimeout):
        task.wait(timeout=0.1)
    task.cancel()

    tasks = client.submit_many([("quick", {"numbers": [n]}) for n in range(3)])
    assert [task.wait()["sum"] for task in tasks] == [0, 1, 2]
    assert len([user.id for user in client.users.list(page_size=3)]) >= 8
    assert client.users.list().page().total >= 8


def test_errors_are_the_same(client: Client) -> None:
    with pytest.raises(BadRequest):
        client.submit("quick", {})
    with pytest.raises(NotFound):
        list(client.task("nope").events())


def test_it_leaves_no_thread_behind(deployment: Deployment) -> None:
    with Client(deployment.url) as client:
        assert client.health().healthy
    assert not [thread for thread in threading.enumerate() if thread.name == "stepline-sync"]
    client.close()  # again: nothing happens
