"""MariaDB down, and in each other's way: work goes on, history catches up."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.stand import Stand
from tests.waiting import wait_for


async def test_down(stand: Stand, measured: Measured, long_form: bool) -> None:
    seconds = 60.0 if long_form else 5.0
    await stand.up()
    # without keys: a young Redis may have forgotten one, and then the database is asked
    async with stand.ledger.load(seconds=0.01, clients=2, keyed=False):
        await stand.until_more_end()
        await asyncio.to_thread(stand.services.mariadb.kill)
        went = time.monotonic()
        before = len(stand.lines("end"))
        await wait_for(lambda: time.monotonic() > went + seconds, seconds + 5)
        worked = len(stand.lines("end")) - before
        await asyncio.to_thread(stand.services.mariadb.start)
        back = time.monotonic()
        await stand.until_more_end()
    last = list(stand.ledger.accepted)[-1]
    await stand.until_recorded(last)
    recovery = time.monotonic() - back

    verdict = await check(stand, timeout=60)

    assert worked > 20, "work stood still without the database"
    refused = [item for item in stand.ledger.tries if item.answer != "accepted"]
    assert not refused, f"submissions do not need the database: {refused[:3]}"
    measured(
        verdict,
        f"MariaDB: killed, down for {seconds:g} s",
        "submissions and work go on; history catches up",
        recovery=[recovery],
    )


@pytest.mark.usefixtures("only_long")
async def test_deadlocks(stand: Stand, measured: Measured) -> None:
    """Another client locks the same rows in the opposite order, again and again."""
    await stand.up()
    stop = asyncio.Event()
    collisions = 0

    def collide() -> int:
        statement = "UPDATE tasks SET name = NULL WHERE unfinished = 1 ORDER BY id DESC LIMIT 50"
        try:
            stand.sql(statement)
        except Exception as error:
            if "1213" in str(error) or "1205" in str(error):
                return 1
            raise
        return 0

    async def disturb() -> None:
        nonlocal collisions
        while not stop.is_set():
            collisions += await asyncio.to_thread(collide)

    disturbing = asyncio.create_task(disturb())
    async with stand.ledger.load(clients=8, pause=0.0, steps=1):
        await stand.until_more_end(400)
    stop.set()
    await disturbing

    status = stand.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    verdict = await check(stand)

    measured(
        verdict,
        f"MariaDB: rows locked by others ({status[0]['Value'] if status else '?'} deadlocks)",
        "the victim tries again; no record is lost",
    )
