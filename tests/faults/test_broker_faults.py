"""RabbitMQ killed, restarted, cut off, hanging, full, and with its queues taken away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx2
import pytest

from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.ledger import Try
from tests.faults.stand import Stand
from tests.killing import kill_broker
from tests.waiting import PATIENCE, here, wait_for


async def test_kill_under_load(stand: Stand, measured: Measured, long_form: bool) -> None:
    times = 5 if long_form else 1
    await stand.up(workers=2)
    recovery = []
    async with stand.ledger.load(seconds=0.05):
        for _ in range(times):
            await stand.until_more_end()
            await asyncio.to_thread(kill_broker, stand.services.rabbitmq)
            await asyncio.to_thread(stand.services.rabbitmq.start)
            back = time.monotonic()
            await stand.until_more_end()
            recovery.append(await stand.recovered(back))

    verdict = await check(stand)

    measured(
        verdict,
        "RabbitMQ: kill -9 under load",
        "submissions answer 503 at once; everything confirmed is there when it comes back",
        recovery=recovery,
        repeated=times,
    )


@pytest.mark.usefixtures("only_long")
async def test_killed_before_it_has_written_a_new_queue_down(
    stand: Stand, measured: Measured
) -> None:
    """What people are told to do then (docs/reliability.md), and that it is enough."""
    async with stand.resources():
        pass  # its queues are declared, the last of them `chain_tasks`
    await asyncio.to_thread(stand.services.rabbitmq.kill)
    await asyncio.to_thread(stand.services.rabbitmq.start)
    back = time.monotonic()
    stand.start_api()
    stand.start_worker()
    await stand.until_answering()

    async with httpx2.AsyncClient(base_url=stand.url, timeout=10.0) as http:

        async def lost() -> bool:
            workers = (await http.get("/health")).json()["checks"]["workers"]
            return "consumes chain_tasks" in (workers.get("detail") or "")

        async def well() -> bool:
            return (await http.get("/health")).status_code == 200

        def served() -> bool:
            consumers = {queue["name"]: queue.get("consumers") for queue in stand.queues()}
            return bool(consumers["chain_tasks"])

        async def decided() -> bool:
            return served() or await lost()

        await wait_for(decided, PATIENCE)
        if served():
            pytest.skip("this RabbitMQ has written it down in time")
        submission = stand.ledger.begin()
        assert (await stand.ledger.send(submission, steps=1)).answer != "accepted"

        rabbitmq = stand.services.rabbitmq
        await asyncio.to_thread(rabbitmq.ctl, "delete_queue", "-p", stand.vhost, "chain_tasks")
        await wait_for(well, PATIENCE)
        assert await stand.ledger.insist(submission, until=time.monotonic() + PATIENCE, steps=1)
    recovery = [await stand.recovered(back)]
    stand.baseline = stand.census()

    verdict = await check(stand)

    measured(
        verdict,
        "RabbitMQ: killed within a second of a queue's making",
        "submissions to that queue answer 503; `/health` names it; deleted by hand, it works",
        recovery=recovery,
    )


@pytest.mark.usefixtures("only_long")
async def test_restart_in_order(stand: Stand, measured: Measured) -> None:
    times = 20
    await stand.up()
    recovery = []
    async with stand.ledger.load(seconds=0.02, clients=2):
        for _ in range(times):
            await stand.until_more_end()
            await asyncio.to_thread(stand.services.rabbitmq.stop)
            await asyncio.to_thread(stand.services.rabbitmq.start)
            back = time.monotonic()
            await stand.until_more_end()
            recovery.append(await stand.recovered(back))

    verdict = await check(stand)

    measured(
        verdict,
        "RabbitMQ: restarted in order",
        "every process comes back by itself",
        recovery=recovery,
        repeated=times,
    )


async def test_cut_in_mid_step(stand: Stand, measured: Measured, long_form: bool) -> None:
    times = 10 if long_form else 3
    await stand.up(workers=2)
    recovery = []
    gate = stand.folder / "gate"
    held = [await stand.ledger.accept(hold=str(gate)) for _ in range(4)]
    for task_id in held:
        await stand.until_begun(task_id, step=1)
    for _ in range(times):
        before = stand.broker_link.accepted
        stand.broker_link.cut()
        cut = time.monotonic()
        # three processes, a connection to publish each, and two that consume
        await wait_for(lambda seen=before: stand.broker_link.accepted >= seen + 5, PATIENCE)
        task_id = await stand.ledger.accept(steps=1)
        await stand.until_recorded(task_id)
        recovery.append(time.monotonic() - cut)
    gate.touch()

    verdict = await check(stand, once=True)

    measured(
        verdict,
        "RabbitMQ: connections cut in mid-step",
        "the running step is not disturbed, and runs once: its worker adopts the redelivery",
        recovery=recovery,
        repeated=times,
    )


async def test_hang_then_heal(stand: Stand, measured: Measured, long_form: bool) -> None:
    seconds = 45.0 if long_form else 6.0
    await stand.up()
    recovery = []
    async with stand.ledger.load(seconds=0.02):
        await stand.until_more_end()
        stand.broker_link.hang()
        hung = time.monotonic()
        await wait_for(lambda: time.monotonic() > hung + seconds, seconds + 5)
        stand.broker_link.heal()
        back = time.monotonic()
        await stand.until_more_end()
        recovery.append(await stand.recovered(back))

    verdict = await check(stand)

    during = [item for item in stand.ledger.tries if hung + 0.5 < item.answered < back]
    assert during
    assert all(item.answer != "accepted" for item in during), "a 202 without the broker's confirm"
    assert max(item.seconds for item in during) < here(10.0)
    measured(
        verdict,
        f"RabbitMQ: link hangs for {seconds:g} s",
        "503 or an ambiguous 503 within the publish timeout, never a false 202",
        recovery=recovery,
    )


@pytest.mark.usefixtures("only_long")
@pytest.mark.parametrize("silent", ["up", "down"])
async def test_half_open(stand: Stand, measured: Measured, silent: str) -> None:
    await stand.up()
    async with stand.ledger.load(seconds=0.02):
        await stand.until_more_end()
        stand.broker_link.half_open(silent)  # type: ignore[arg-type]
        went = time.monotonic()
        await wait_for(
            lambda: any(i.answer != "accepted" and i.sent > went for i in stand.ledger.tries), 20
        )
        stand.broker_link.cut()
        stand.broker_link.heal()
        back = time.monotonic()
        await stand.until_more_end()
        recovery = await stand.recovered(back)

    verdict = await check(stand)

    direction = "to" if silent == "up" else "from"
    measured(
        verdict,
        f"RabbitMQ: half-open link, nothing {direction} the broker arrives",
        "what may have been published is answered as ambiguous, and found again by its key",
        recovery=[recovery],
    )


def memory_alarm(stand: Stand) -> Callable[[], None]:
    stand.services.rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
    return lambda: _ctl(stand, "set_vm_memory_high_watermark", "0.4")


def disk_alarm(stand: Stand) -> Callable[[], None]:
    stand.services.rabbitmq.ctl("set_disk_free_limit", "999000GB")
    return lambda: _ctl(stand, "set_disk_free_limit", "50MB")


def _ctl(stand: Stand, *arguments: str) -> None:
    stand.services.rabbitmq.ctl(*arguments)


@pytest.mark.parametrize(
    ("name", "alarm"), [("memory", memory_alarm), ("disk", disk_alarm)], ids=["memory", "disk"]
)
async def test_alarm(
    stand: Stand,
    measured: Measured,
    name: str,
    alarm: Callable[[Stand], Callable[[], None]],
) -> None:
    await stand.up()
    end = await asyncio.to_thread(alarm, stand)
    try:
        submissions = [stand.ledger.begin() for _ in range(6)]
        made = [await stand.ledger.send(item, steps=1) for item in submissions]
    finally:
        await asyncio.to_thread(end)
    back = time.monotonic()
    for item in submissions:
        assert await stand.ledger.insist(item, until=back + 30, steps=1)
    recovery = time.monotonic() - back

    assert all(item.answer != "accepted" for item in made), f"accepted under an alarm: {made}"
    assert max(item.seconds for item in made) < here(4.0)
    assert made[-1].answer == "refused", "once the broker has said so, it is refused at once"
    assert made[-1].seconds < here(1.0)
    verdict = await check(stand)
    measured(
        verdict,
        f"RabbitMQ: {name} alarm",
        "503 at once or ambiguous, never a false 202",
        recovery=[recovery],
    )


async def test_work_queue_unbound(stand: Stand, measured: Measured) -> None:
    """`history` alone takes what is published then, and RabbitMQ confirms it."""
    await stand.up()
    async with stand.ledger.load(seconds=0.01):
        await stand.until_more_end()
        path = f"/api/bindings/{stand.vhost}/e/stepline.tasks/q/chain_tasks"
        manage = stand.services.rabbitmq.management
        for binding in manage("GET", path):
            manage("DELETE", f"{path}/{binding['properties_key']}")
        await wait_for(lambda: manage("GET", path), PATIENCE)
        back = time.monotonic()
        await stand.until_more_end()
    rescued = await stand.rescue()
    recovery = time.monotonic() - back

    verdict = await check(stand)

    assert rescued > 0, "nothing was lost: the binding was not gone"
    measured(
        verdict,
        "RabbitMQ: binding of a work queue removed",
        "put back within 5 s; what was accepted meanwhile is rescued from history",
        recovery=[recovery],
    )


async def test_nothing_bound(stand: Stand, measured: Measured) -> None:
    """No queue takes what is published: RabbitMQ would confirm it all the same."""
    await stand.up()
    manage = stand.services.rabbitmq.management
    unroutable: list[Try] = []

    async def unbind_and_submit() -> list[Try]:
        """The service puts the bindings back each five seconds: perhaps before the request came."""
        for queue in ("chain_tasks", "history"):
            path = f"/api/bindings/{stand.vhost}/e/stepline.tasks/q/{queue}"
            for binding in await asyncio.to_thread(manage, "GET", path):
                key = binding["properties_key"]
                await asyncio.to_thread(manage, "DELETE", f"{path}/{key}")
        made = await stand.ledger.send(stand.ledger.begin(), steps=1)
        unroutable.extend([made] if made.detail == "unroutable" else [])
        return unroutable

    await wait_for(unbind_and_submit, PATIENCE)
    gone = time.monotonic()
    await stand.ledger.accept(steps=1)
    recovery = await stand.recovered(gone)
    await stand.rescue()

    verdict = await check(stand)

    assert unroutable[0].seconds < here(1.0)
    measured(
        verdict,
        "RabbitMQ: every binding removed",
        "503 at once, never a false 202; put back within 5 s",
        recovery=[recovery],
    )


@pytest.mark.parametrize("queue", ["chain_tasks", "history"])
async def test_queue_deleted(stand: Stand, measured: Measured, queue: str) -> None:
    await stand.up()
    manage = stand.services.rabbitmq.management
    async with stand.ledger.load(seconds=0.01):
        await stand.until_more_end()
        manage("DELETE", f"/api/queues/{stand.vhost}/{queue}")
        deleted = time.monotonic()
        await stand.until_more_end(200)
        recovery = await stand.recovered(deleted)
    await stand.rescue()

    verdict = await check(stand)

    measured(
        verdict,
        f"RabbitMQ: queue `{queue}` deleted",
        "made again; the tasks whose messages went with it are rescued from history",
        recovery=[recovery],
    )
