"""The broker that a URL names."""

from __future__ import annotations

from infra.broker.base import Broker
from infra.broker.memory import MemoryBroker
from infra.broker.topology import DEFAULT_TOPOLOGY, Topology


def make_broker(
    url: str, *, publish_timeout: float, topology: Topology = DEFAULT_TOPOLOGY, name: str
) -> Broker:
    """A broker, not opened yet. `publish_timeout` is in seconds; `name` shows as the connection's
    name in the management UI."""
    if url.startswith("memory:"):
        return MemoryBroker(topology, publish_timeout)
    from infra.broker.rabbit import RabbitBroker  # noqa: PLC0415  (embedded runs need no driver)

    return RabbitBroker(url, publish_timeout=publish_timeout, topology=topology, name=name)
