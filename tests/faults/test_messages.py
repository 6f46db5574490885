"""Messages that are poison, that come twice, and that come out of order."""

from __future__ import annotations

import asyncio
import json

import pytest

from infra.broker.base import Message
from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.stand import Stand
from tests.waiting import PATIENCE, wait_for


async def test_poison_that_raises(stand: Stand, measured: Measured) -> None:
    await stand.up()
    poisonous = [stand.ledger.begin() for _ in range(5)]
    for item in poisonous:
        await stand.ledger.send(item, poison="raises", steps=2)
    async with stand.ledger.load(steps=1):
        await wait_for(lambda: len(stand.ledger.accepted) > 60, PATIENCE)

    verdict = await check(stand, failing={item.n for item in poisonous})

    letters = {row["task_id"] for row in stand.sql("SELECT task_id FROM dead_letters")}
    assert letters == {task_id for item in poisonous for task_id in item.task_ids}
    measured(
        verdict,
        "poison: a handler that always raises",
        "dead-lettered after its retries; its neighbours run",
    )


@pytest.mark.usefixtures("only_long")
async def test_poison_that_kills(stand: Stand, measured: Measured) -> None:
    """It takes six workers along (each is replaced), then it is the one to go."""
    await stand.up(workers=2)
    poisonous = stand.ledger.begin()
    await stand.ledger.send(poisonous, poison="kills", steps=1)
    (task_id,) = poisonous.task_ids
    died = 0
    async with stand.ledger.load(steps=1, clients=2, pause=0.1):

        async def replaced() -> bool:
            nonlocal died
            if len(stand.alive) < 2:
                died += 1
                stand.start_worker()
                await stand.until_workers(2)
            return await asyncio.to_thread(stand.has_ended, task_id)

        await wait_for(replaced, PATIENCE)

    verdict = await check(stand, failing={poisonous.n})

    rows = stand.sql("SELECT error FROM tasks WHERE id = %s", task_id)
    assert json.loads(rows[0]["error"])["code"] == "worker_lost"
    measured(
        verdict,
        "poison: a handler that kills its process",
        "fails after six lost workers, as a dead letter; its neighbours run",
        repeated=died,
    )


async def test_messages_that_nobody_can_read(stand: Stand, measured: Measured) -> None:
    await stand.up()
    rubbish = [b"", b"{", b"[]", b"\xff\xfe", b'{"v":1,"queue":"chain_tasks","tasks":[{}]}']
    async with stand.resources() as resources:
        for kind in ("envelope", "record", "nothing"):
            for body in rubbish:
                for queue in ("chain_tasks", "history"):
                    await resources.broker.send(queue, Message(kind, body))
    async with stand.ledger.load(steps=1):
        await wait_for(lambda: len(stand.ledger.accepted) > 40, PATIENCE)

    verdict = await check(stand)

    letters = stand.sql("SELECT reason FROM dead_letters")
    assert len(letters) >= len(rubbish)
    assert {row["reason"] for row in letters} == {"undecodable"}
    measured(
        verdict,
        "poison: messages that are no envelopes",
        "dead-lettered at once; their neighbours run",
    )


async def test_every_message_twice(stand: Stand, measured: Measured) -> None:
    """Each envelope is published twice, the copies in reverse order."""
    await stand.up(workers=2)
    count = 60
    async with stand.resources() as resources:
        path = f"/api/exchanges/{stand.vhost}/stepline.tasks"
        assert stand.services.rabbitmq.management("GET", path)
        queue = f"/api/queues/{stand.vhost}/copies"
        arguments = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
        stand.services.rabbitmq.management("PUT", queue, arguments)
        bindings = f"/api/bindings/{stand.vhost}/e/stepline.tasks/q/copies"
        stand.services.rabbitmq.management("POST", bindings, {"routing_key": "chain_tasks"})
        for _ in range(count):
            await stand.ledger.accept(seconds=0.02)
        ask = {"count": 1_000, "ackmode": "ack_requeue_false", "encoding": "auto"}
        copies = stand.services.rabbitmq.management("POST", f"{queue}/get", ask)
        stand.services.rabbitmq.management("DELETE", queue)
        assert len(copies) == count
        for copy in reversed(copies):
            message = Message("envelope", copy["payload"].encode())
            await resources.broker.send("chain_tasks", message)
            await resources.broker.send("history", message)

    await wait_for(lambda: len(stand.lines("delivery")) > 2 * count, PATIENCE)
    verdict = await check(stand, once=True)

    assert verdict.absorbed >= count
    measured(
        verdict,
        "every message delivered twice, and out of order",
        "each step runs once",
    )
