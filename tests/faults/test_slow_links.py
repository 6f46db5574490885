"""Links that are slow, without anything being down: all of it takes longer, and nothing else."""

from __future__ import annotations

import pytest

from tests.faults.checker import check
from tests.faults.conftest import Measured
from tests.faults.stand import Stand

DELAY = 0.05
"""Seconds that each piece is held, in each direction."""

RATE = 60_000
"""Bytes a second, in each direction."""


@pytest.mark.parametrize("how", ["delayed", "throttled"])
async def test_slow_links(stand: Stand, measured: Measured, long_form: bool, how: str) -> None:
    if how == "throttled" and not long_form:
        pytest.skip("the long form has both")
    await stand.up()
    for link in (stand.broker_link, stand.redis_link, stand.database_link):
        if how == "delayed":
            link.delay(DELAY)
        else:
            link.throttle(RATE)
    async with stand.ledger.load(clients=4, steps=2):
        await stand.until_more_end(80 if long_form else 30)

    verdict = await check(stand)

    refused = [item for item in stand.ledger.tries if item.answer != "accepted"]
    assert not refused, f"slow is not down: {refused[:3]}"
    amount = "50 ms each way" if how == "delayed" else "60 kB/s"
    measured(
        verdict,
        f"all links {how}: {amount}",
        "everything takes longer, and nothing else",
    )
