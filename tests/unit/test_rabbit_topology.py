"""What RabbitMQ is told, as far as it can be seen without one."""

from __future__ import annotations

from typing import Any

import pytest

from infra.broker.rabbit_connection import split_hosts
from infra.broker.rabbit_consumer import delivered_before
from infra.broker.rabbit_topology import queue_arguments
from infra.broker.topology import Topology


@pytest.mark.parametrize(
    ("version", "limit"), [("3.10.8", None), ("3.13.7", None), ("4.0.1", -1), ("4.3.5", -1)]
)
@pytest.mark.parametrize("queue", ["history", "dead_letters"])
def test_nothing_is_dropped_from_the_records_for_having_come_back_too_often(
    queue: str, version: str, limit: int | None
) -> None:
    arguments = queue_arguments(Topology(("quick_tasks",)), version)

    assert arguments[queue].get("x-delivery-limit") == limit


@pytest.mark.parametrize("version", ["3.10.8", "4.3.5"])
def test_a_work_queue_has_its_limit_and_a_safe_way_out(version: str) -> None:
    assert queue_arguments(Topology(("own",)), version)["own"] == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead_letters",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


@pytest.mark.parametrize(
    ("headers", "redelivered", "count"),
    [
        ({}, False, 0),
        ({}, True, 1),
        ({"x-delivery-count": 3}, True, 3),
        ({"x-delivery-count": 1, "x-acquired-count": 4}, True, 4),
    ],
)
def test_a_delivery_knows_how_often_it_was_handed_out(
    headers: dict[str, Any], redelivered: bool, count: int
) -> None:
    assert delivered_before(headers, redelivered=redelivered) == count


def test_several_hosts_share_credentials_and_virtual_host() -> None:
    assert [str(url) for url in split_hosts("amqp://u:p@a:5672,b:5673/v")] == [
        "amqp://u:p@a:5672/v",
        "amqp://u:p@b:5673/v",
    ]
    assert [str(url) for url in split_hosts("amqps://h")] == ["amqps://h"]
