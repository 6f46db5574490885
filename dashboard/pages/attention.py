"""What needs somebody: found in the answers of the API, told in one line each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashboard.source import Doc, Source

TOO_OLD = 300.0
"""Seconds that a task may wait in a queue that nobody has paused."""

MOST = 6


async def concerns(source: Source) -> list[Doc]:
    """The gravest first: {kind, tone, icon, href, values}."""
    health, queues, workers, letters, failures = await asyncio.gather(
        source.health(),
        source.queues(),
        source.workers(),
        source.dead_letters(limit=1),
        source.failures(window=86_400, state="open"),
    )
    found = [
        _concern("part_down", "danger", "cloud_off", "/system", part=part)
        for part in health["down"]
    ]
    found += [concern for queue in queues for concern in _of_queue(queue)]
    gone = [worker for worker in workers if worker["state"] == "gone"]
    if gone:
        found.append(_concern("workers_gone", "warning", "dns", "/workers", n=len(gone)))
    if total := letters["total"]:
        found.append(
            _concern("dead_letters", "danger", "mark_email_unread", "/dead-letters", n=f"{total:,}")
        )
    if failures:
        count = sum(group["count"] for group in failures)
        found.append(
            _concern(
                "failures", "danger", "report", "/failures", n=len(failures), count=f"{count:,}"
            )
        )
    return found[:MOST]


def _of_queue(queue: Doc) -> list[Doc]:
    href, name = f"/queues?q={queue['name']}", queue["name"]
    if queue.get("paused"):
        return [_concern("paused", "warning", "pause_circle", href, queue=name, n=queue["waiting"])]
    if queue["waiting"] and not queue["consumers"]:
        return [
            _concern("no_consumer", "danger", "person_off", href, queue=name, n=queue["waiting"])
        ]
    if (queue.get("oldest_age") or 0) > TOO_OLD:
        minutes = round(queue["oldest_age"] / 60)
        return [_concern("old", "warning", "hourglass_bottom", href, queue=name, minutes=minutes)]
    return []


def _concern(kind: str, tone: str, icon: str, href: str, **values: object) -> Doc:
    return {"kind": kind, "tone": tone, "icon": icon, "href": href, "values": values}
