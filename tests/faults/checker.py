"""One checker for every fault: what the client was told, what the handlers did, and what Redis,
the database and the broker have must agree.

- I1 every 202 reaches exactly one terminal state
- I2 history has everything that was accepted, and nothing else but what an ambiguous answer left
- I3 no step begins again after its checkpoint (unless Redis lost its data)
- I4 no write of a superseded attempt is visible
- I5 event ids are in order and without a gap (unless Redis lost its data)
- I6 queues, leases and unfinished tasks drain to zero
- I7 open files, memory and asyncio tasks of the processes come back to where they were
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from infra.state.answers import read_entry
from infra.state.models import format_event_id
from infra.state.store import PREFIX
from tests.faults.invariants import (
    Seen,
    check_accepted,
    check_ends,
    check_events,
    check_history,
    check_outputs,
    check_runs,
    check_steps,
)
from tests.faults.stand import Stand
from tests.waiting import PATIENCE, wait_for

TERMINAL = {"SUCCESS", "FAILURE", "CANCELLED"}
MORE_FILES, MORE_MEGABYTES, MORE_TASKS = 12, 80.0, 20
"""What a process may hold more than at the start: pools keep the connections that a busy time
needed."""


@dataclass(slots=True)
class Verdict:
    """The figures of a test that kept every promise."""

    accepted: int
    ended: int
    lost: int
    absorbed: int
    """Messages that came again and were settled without an attempt at the task."""
    statuses: dict[str, int]


async def check(
    stand: Stand,
    *,
    redis_lost: bool = False,
    once: bool = False,
    failing: frozenset[int] | set[int] = frozenset(),
    timeout: float = PATIENCE,
    leaks: bool = True,
) -> Verdict:
    """Wait until everything has drained, then hold the test to its promises.

    `once`: not even the interrupted step may have run twice. `failing`: numbers of submissions
    that must fail; all others must succeed.
    """
    accepted = set(stand.ledger.accepted)
    await _drained(stand, accepted, timeout)
    tasks = await asyncio.to_thread(_gather, stand)
    submissions = stand.ledger.submissions
    check_accepted(submissions, tasks, lambda item: {"FAILURE" if item.n in failing else "SUCCESS"})
    check_history(submissions, tasks)
    for task_id, seen in tasks.items():
        where = f"task {task_id} ({seen.row['payload']})"
        check_ends(where, seen)
        if not redis_lost:
            check_steps(where, seen)
            check_outputs(where, seen)
        check_runs(where, seen, once=once)
        check_events(where, seen, redis_lost=redis_lost)
    if leaks:
        await _check_leaks(stand)
    return _verdict(stand, tasks, accepted)


def _verdict(stand: Stand, tasks: dict[str, Seen], accepted: set[str]) -> Verdict:
    statuses: dict[str, int] = defaultdict(int)
    for task_id in accepted:
        statuses[tasks[task_id].row["status"]] += 1
    ended = sum(count for status, count in statuses.items() if status in TERMINAL)
    absorbed = len(stand.lines("delivery")) - len(stand.lines("claim"))
    return Verdict(len(accepted), ended, len(accepted) - ended, max(0, absorbed), dict(statuses))


async def _drained(stand: Stand, accepted: set[str], timeout: float) -> None:
    """I6, and the wait for I1."""

    def left() -> list[str]:
        found = [
            f"history does not know {task_id}"
            for task_id in accepted - {row["id"] for row in stand.sql("SELECT id FROM tasks")}
        ]
        rows = stand.sql("SELECT id, status FROM tasks WHERE unfinished IS NOT NULL")
        found += [f"{row['id']} is {row['status']}" for row in rows]
        with stand.redis() as client:
            for key in client.scan_iter(f"{PREFIX}{{*}}"):
                if client.hget(key, "token"):
                    found.append(f"{key.decode()} is held")
        queues = stand.queues()
        found += [] if queues else ["the broker shows no queues"]
        found += [
            f"{queue['messages']} messages in {queue['name']}"
            for queue in queues
            if queue.get("messages", 0)
        ]
        return found

    seen: list[str] = []

    async def empty() -> bool:
        seen[:] = await asyncio.to_thread(left)
        return not seen

    try:
        await wait_for(empty, timeout)
    except AssertionError:
        few = "\n".join(seen[:10])
        raise AssertionError(f"I1/I6: after {timeout:g} s, {len(seen)} things:\n{few}") from None


ENTRIES = "return redis.call('XRANGE', KEYS[1], '-', '+')"
"""As Redis has them: the driver makes a map of an entry, in which a kind can be once."""


def _gather(stand: Stand) -> dict[str, Seen]:
    tasks: dict[str, Seen] = {}
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in stand.sql("SELECT task_id, events FROM attempts ORDER BY task_id, attempt"):
        events[row["task_id"]] += json.loads(row["events"])
    with stand.redis() as client:
        for row in stand.sql("SELECT * FROM tasks"):
            key = f"{PREFIX}{{{row['id']}}}"
            fields = {k.decode(): v.decode() for k, v in client.hgetall(key).items()}
            stream = [
                (format_event_id(event.id), json.loads(event.json))
                for entry, data in client.eval(ENTRIES, 1, f"{key}:events")
                for event in read_entry(entry, data)
            ]
            tasks[row["id"]] = Seen(row, fields, stream, events[row["id"]])
    for line in stand.lines("begin"):
        tasks[line["task"]].begins.append(line)
    for line in stand.lines("end"):
        tasks[line["task"]].ends.append(line)
    return tasks


async def _check_leaks(stand: Stand) -> None:
    """I7."""
    wrong: list[str] = []

    def look() -> bool:
        now = stand.census()
        wrong[:] = [
            f"I7: process {pid}: {before} at first, {now[pid]} now"
            for pid, before in stand.baseline.items()
            if pid in now
            and (
                now[pid].files > before.files + MORE_FILES
                or now[pid].megabytes > before.megabytes + MORE_MEGABYTES
                or now[pid].tasks > before.tasks + MORE_TASKS
            )
        ]
        return not wrong

    try:
        await wait_for(lambda: asyncio.to_thread(look), PATIENCE)
    except AssertionError as error:
        raise AssertionError("; ".join(wrong) or str(error)) from None
