"""RabbitMQ killed, but not while it would forget a queue for good."""

from __future__ import annotations

from infra.services.rabbitmq import RabbitMQ


def kill_broker(service: RabbitMQ) -> None:
    """kill -9, once the names of all its quorum queues are on disk. By itself RabbitMQ writes a new
    one there some seconds after it was declared; killed before, it comes back with a queue of that
    name that never answers. docs/reliability.md tells of it."""
    service.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
    service.kill()
