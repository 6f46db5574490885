"""`GET /stats`: how the service does, now and over time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from stepline.contract import Stats, StatsNow, StatsOfType, StatsPoint, StatsTotals, Status

from api.activity import Tally, Window, tallies
from api.deps import ResourcesDep
from api.errors import responses
from infra.resources import Resources

router = APIRouter(tags=["operations"])

LONGEST = 30 * 86_400

ENDED = (Status.SUCCESS, Status.FAILURE, Status.CANCELLED)


@router.get("/stats", responses=responses(422, 503))
async def stats(
    resources: ResourcesDep,
    window: Annotated[
        int, Query(ge=60, le=LONGEST, description="Seconds, up to now; beyond six hours by hours.")
    ] = 3_600,
    type: Annotated[str | None, Query(max_length=100)] = None,  # noqa: A002
) -> Stats:
    """Throughput, failures and latency within a window, as totals, over time and by type; and what
    waits and runs now (of all types). History may be behind by a moment."""
    asked = Window.of(window)
    items = await resources.history.activity(
        asked.since, span=asked.span, step=asked.step, task_type=type
    )
    whole = Tally()
    for item in items:
        whole.add(item)
    moments, types = tallies(items, "at"), tallies(items, "type")
    return Stats(
        since=datetime.fromtimestamp(asked.since, UTC),
        until=datetime.fromtimestamp(asked.until, UTC),
        step=asked.step,
        now=await _now(resources, whole),
        totals=StatsTotals(
            **whole.counts(),
            failure_rate=whole.failure_rate(),
            throughput_per_second=round(whole.ended / (asked.until - asked.since), 4),
        ),
        series=[
            StatsPoint(
                at=datetime.fromtimestamp(at, UTC), **moments[at].counts(), **moments[at].latency()
            )
            for at in asked.points
        ],
        by_type=[
            StatsOfType(
                type=name,
                **tally.counts(),
                **tally.latency(),
                failure_rate=tally.failure_rate(),
            )
            for name, tally in sorted(types.items())
        ],
    )


async def _now(resources: Resources, whole: Tally) -> StatsNow:
    backlog = await resources.history.backlog()
    alive = [worker for worker in await resources.workers.all() if not worker.gone]
    ended = {status: whole.outcomes[status.value] for status in ENDED}
    return StatsNow(
        by_status=dict.fromkeys(Status, 0) | backlog.by_status | ended,
        capped=backlog.capped,
        running=sum(len(worker.active) for worker in alive),
        waiting=backlog.by_status.get(Status.PENDING, 0),
        workers=len(alive),
    )
