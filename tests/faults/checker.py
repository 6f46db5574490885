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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from stepline.contract import EventKind

from infra.state.models import parse_event_id
from infra.state.store import PREFIX
from tests.faults.stand import Stand
from tests.waiting import wait_for

TERMINAL = {"SUCCESS", "FAILURE", "CANCELLED"}
CLOCK_SLACK = 0.25
"""Seconds by which a line may be younger than the end of its task: the handler wrote it first, but
an event's time is taken before it is written."""

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


@dataclass(slots=True)
class Seen:
    """One task from every side."""

    row: dict[str, Any]
    hash: dict[str, str]
    stream: list[tuple[str, dict[str, Any]]]
    recorded: list[dict[str, Any]]
    """Events, as history has them."""
    begins: list[dict[str, Any]] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)

    @property
    def completed(self) -> dict[int, int]:
        """Step → the attempt that completed it first, by whoever knows."""
        found: dict[int, int] = {}
        for event in [*self.recorded, *(body for _, body in self.stream)]:
            if event["kind"] == EventKind.STEP_COMPLETED:
                index, attempt = event["index"], event["attempt"]
                found[index] = min(attempt, found.get(index, attempt))
        return found


async def check(
    stand: Stand,
    *,
    redis_lost: bool = False,
    once: bool = False,
    failing: frozenset[int] | set[int] = frozenset(),
    timeout: float = 40.0,
    leaks: bool = True,
) -> Verdict:
    """Wait until everything has drained, then hold the test to its promises.

    `once`: not even the interrupted step may have run twice. `failing`: numbers of submissions
    that must fail; all others must succeed.
    """
    accepted = set(stand.ledger.accepted)
    await _drained(stand, accepted, timeout)
    tasks = await asyncio.to_thread(_gather, stand)
    _check_accepted(stand, tasks, failing)
    _check_history(stand, tasks)
    for task_id, seen in tasks.items():
        where = f"task {task_id} ({seen.row['payload']})"
        _check_ends(where, seen)
        if not redis_lost:
            _check_steps(where, seen)
            _check_outputs(where, seen)
        _check_runs(where, seen, once=once)
        _check_events(where, seen, redis_lost=redis_lost)
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
                if client.hexists(key, "token"):
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
                (entry.decode(), json.loads(data[b"d"]))
                for entry, data in client.xrange(f"{key}:events")
            ]
            tasks[row["id"]] = Seen(row, fields, stream, events[row["id"]])
    for line in stand.lines("begin"):
        tasks[line["task"]].begins.append(line)
    for line in stand.lines("end"):
        tasks[line["task"]].ends.append(line)
    return tasks


def _check_accepted(
    stand: Stand, tasks: dict[str, Seen], failing: frozenset[int] | set[int]
) -> None:
    """I1, from the client's side."""
    for submission in stand.ledger.submissions:
        assert len(submission.task_ids) <= 1, f"I1: one key, two tasks: {submission}"
        for task_id in submission.task_ids:
            wanted = "FAILURE" if submission.n in failing else "SUCCESS"
            row = tasks[task_id].row
            assert row["status"] == wanted, f"I1: {task_id} is {row['status']}: {row['error']}"


def _check_history(stand: Stand, tasks: dict[str, Seen]) -> None:
    """I2."""
    accepted = stand.ledger.accepted
    by_number: dict[int, list[str]] = defaultdict(list)
    for task_id, seen in tasks.items():
        by_number[json.loads(seen.row["payload"])["n"]].append(task_id)
    for submission in stand.ledger.submissions:
        rows = by_number.pop(submission.n, [])
        extras = [task_id for task_id in rows if task_id not in accepted]
        assert not extras or submission.ambiguous, f"I2: nobody was told of {extras}: {submission}"
        if submission.key is not None:
            assert len(rows) <= 1, f"I2: one key, several rows: {rows} of {submission}"
    assert not by_number, f"I2: rows that nobody submitted: {by_number}"


def _check_ends(where: str, seen: Seen) -> None:
    """I1: one end, and the same for everybody."""
    terminal = [(at, body["kind"]) for at, body in seen.stream if EventKind(body["kind"]).terminal]
    recorded = [(e["id"], e["kind"]) for e in seen.recorded if EventKind(e["kind"]).terminal]
    assert len(terminal) <= 1, f"I1: several ends of {where}: {terminal}"
    assert len(recorded) == 1, f"I1: history has {recorded} as the end of {where}"
    if seen.hash:
        status = seen.hash["status"]
        assert status == seen.row["status"], f"I1: {where} is {status} and {seen.row['status']}"
    if terminal:
        assert terminal == recorded, f"I1: {where} ended as {terminal} and as {recorded}"


def _check_steps(where: str, seen: Seen) -> None:
    """I3."""
    for line in seen.begins:
        done_by = seen.completed.get(line["step"])
        assert done_by is None or line["attempt"] <= done_by, (
            f"I3: {where}: step {line['step']} began in attempt {line['attempt']}, "
            f"but attempt {done_by} had completed it"
        )


def _check_outputs(where: str, seen: Seen) -> None:
    """I4: each output in the result is that of the run which the events call completed."""
    if seen.row["status"] != "SUCCESS":
        return
    ends = {line["nonce"]: line for line in seen.ends}
    for output in json.loads(seen.row["result"]):
        line = ends.get(output["nonce"])
        assert line is not None, f"I4: {where}: an output of nobody: {output}"
        assert output["attempt"] == seen.completed.get(output["step"]), (
            f"I4: {where}: {output} is the output of another attempt than {seen.completed}"
        )


def _check_runs(where: str, seen: Seen, *, once: bool) -> None:
    """No step twice in one attempt (nor at all, with `once`), none after the end."""
    runs: dict[Any, int] = defaultdict(int)
    for line in seen.begins:
        runs[line["step"] if once else (line["step"], line["attempt"])] += 1
    twice = {place: count for place, count in runs.items() if count > 1}
    assert not twice, f"I3: {where}: began more than once: {twice}"
    finished: datetime = seen.row["finished_at"]
    ended = finished.replace(tzinfo=UTC).timestamp()
    late = [line for line in seen.begins if line["wall"] > ended + CLOCK_SLACK]
    assert not late, f"I4: {where}: ended at {finished}, and began after that: {late}"


def _check_events(where: str, seen: Seen, *, redis_lost: bool) -> None:
    """I5. The stream's ids by attempt: 1, 2, 3, …; attempts only go up."""
    ids = [parse_event_id(entry) for entry, _ in seen.stream]
    assert ids == sorted(set(ids)), f"I5: {where}: {ids}"
    if redis_lost or not ids:
        return
    assert ids[0] == (0, 1), f"I5: {where} does not begin at the beginning: {ids}"
    for (attempt, seq), following in pairwise(ids):
        assert following in ((attempt, seq + 1), (attempt + 1, 1)), f"I5: {where}: a gap: {ids}"


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
        await wait_for(lambda: asyncio.to_thread(look), 10.0)
    except AssertionError:
        raise AssertionError("; ".join(wrong)) from None
