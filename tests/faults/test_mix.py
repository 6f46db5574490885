"""One fault after the other, as chance will have it, under load all the while."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.stand import Stand
from tests.killing import kill_broker
from tests.waiting import PATIENCE, wait_for

ROUNDS = 20
WORKERS = 2

Fault = Callable[[Stand, random.Random], Awaitable[None]]


async def kill_a_worker(stand: Stand, chance: random.Random) -> None:
    victim = chance.choice(stand.alive)
    victim.send_signal(signal.SIGKILL)
    await asyncio.to_thread(victim.wait)


async def stop_a_worker(stand: Stand, chance: random.Random) -> None:
    victim = chance.choice(await wait_for(lambda: stand.started))
    victim.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(victim.wait, PATIENCE) == 0


async def freeze_a_worker(stand: Stand, chance: random.Random) -> None:
    victim = chance.choice(stand.alive)
    victim.send_signal(signal.SIGSTOP)
    await _some_time(chance)
    victim.send_signal(signal.SIGCONT)


async def kill_the_api(stand: Stand, _: random.Random) -> None:
    assert stand.api is not None
    stand.api.send_signal(signal.SIGKILL)
    await asyncio.to_thread(stand.api.wait)
    stand.start_api()
    await stand.until_answering()


async def kill_rabbitmq(stand: Stand, _: random.Random) -> None:
    await asyncio.to_thread(kill_broker, stand.services.rabbitmq)
    await asyncio.to_thread(stand.services.rabbitmq.start)


async def restart_redis(stand: Stand, chance: random.Random) -> None:
    """In order: killed, it would lose its last second, and with it what is checked here."""
    await asyncio.to_thread(stand.services.redis.stop)
    await _some_time(chance)
    await asyncio.to_thread(stand.services.redis.start)


async def kill_mariadb(stand: Stand, chance: random.Random) -> None:
    await asyncio.to_thread(stand.services.mariadb.kill)
    await _some_time(chance)
    await asyncio.to_thread(stand.services.mariadb.start)


async def cut_links(stand: Stand, chance: random.Random) -> None:
    for link in (stand.broker_link, stand.redis_link, stand.database_link):
        if chance.random() < 0.6:
            link.cut()


async def hang_a_link(stand: Stand, chance: random.Random) -> None:
    link = chance.choice([stand.broker_link, stand.redis_link, stand.database_link])
    link.hang()
    await _some_time(chance)
    link.heal()


FAULTS: tuple[Fault, ...] = (
    kill_a_worker,
    stop_a_worker,
    freeze_a_worker,
    kill_the_api,
    kill_rabbitmq,
    restart_redis,
    kill_mariadb,
    cut_links,
    hang_a_link,
)


async def _some_time(chance: random.Random) -> None:
    end = time.monotonic() + chance.uniform(0.5, 6.0)
    await wait_for(lambda: time.monotonic() > end)


@pytest.mark.timeout(3_000)
@pytest.mark.usefixtures("only_long")
async def test_random_mix(stand: Stand, measured: Measured) -> None:
    seed = int(os.environ.get("STEPLINE_FAULTS_SEED", time.time_ns() % 2**32))
    print(f"STEPLINE_FAULTS_SEED={seed}")  # shown if it fails
    chance = random.Random(seed)
    await stand.up(workers=WORKERS)
    recovery = []
    async with stand.ledger.load(seconds=0.02, clients=3, pause=0.05):
        for _ in range(ROUNDS):
            await stand.until_more_end()
            fault = chance.choice(FAULTS)
            print(f"{time.strftime('%X')} {fault.__name__}")
            await fault(stand, chance)
            over = time.monotonic()
            while len(stand.alive) < WORKERS:
                stand.start_worker()
            await stand.until_more_end()
            recovery.append(await stand.recovered(over))

    verdict = await check(stand)

    measured(
        verdict,
        "a random mix of kills, restarts, frozen workers, cut and hanging links",
        "whatever happens, each accepted task ends once",
        recovery=recovery,
        repeated=ROUNDS,
    )
