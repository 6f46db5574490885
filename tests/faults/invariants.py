"""What must hold of one task, whatever happened: what the client, the handlers, Redis and the
database know of it agrees. Pure: the fault suite and the engine's state machine both hold to it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from stepline.contract import EventKind

from infra.state.models import parse_event_id
from tests.faults.ledger import Submission

CLOCK_SLACK = 0.25
"""Seconds by which a line may be younger than the end of its task: the handler wrote it first, but
an event's time is taken before it is written."""


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


def check_accepted(
    submissions: Iterable[Submission],
    tasks: Mapping[str, Seen],
    wanted: Callable[[Submission], set[str]],
) -> None:
    """I1, from the client's side: one key is one task, and it ended as it must."""
    for submission in submissions:
        assert len(submission.task_ids) <= 1, f"I1: one key, two tasks: {submission}"
        for task_id in submission.task_ids:
            row = tasks[task_id].row
            assert row["status"] in wanted(submission), (
                f"I1: {task_id} is {row['status']}: {row['error']}"
            )


def check_history(submissions: Sequence[Submission], tasks: Mapping[str, Seen]) -> None:
    """I2."""
    accepted = {task_id for item in submissions for task_id in item.task_ids}
    by_number: dict[int, list[str]] = defaultdict(list)
    for task_id, seen in tasks.items():
        by_number[json.loads(seen.row["payload"])["n"]].append(task_id)
    for submission in submissions:
        rows = by_number.pop(submission.n, [])
        extras = [task_id for task_id in rows if task_id not in accepted]
        assert not extras or submission.ambiguous, f"I2: nobody was told of {extras}: {submission}"
        if submission.key is not None:
            assert len(rows) <= 1, f"I2: one key, several rows: {rows} of {submission}"
    assert not by_number, f"I2: rows that nobody submitted: {by_number}"


def check_ends(where: str, seen: Seen) -> None:
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


def check_steps(where: str, seen: Seen) -> None:
    """I3."""
    for line in seen.begins:
        done_by = seen.completed.get(line["step"])
        assert done_by is None or line["attempt"] <= done_by, (
            f"I3: {where}: step {line['step']} began in attempt {line['attempt']}, "
            f"but attempt {done_by} had completed it"
        )


def check_outputs(where: str, seen: Seen) -> None:
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


def check_runs(where: str, seen: Seen, *, once: bool, numbered: bool = True) -> None:
    """No step twice in one attempt (nor at all, with `once`), none after the end.

    Not `numbered`: where Redis was flushed and the holder died before history had heard of its
    attempt, nobody knows of it, and the next one has the same number.
    """
    runs: dict[Any, int] = defaultdict(int)
    for line in seen.begins:
        runs[line["step"] if once else (line["step"], line["attempt"])] += 1
    twice = {place: count for place, count in runs.items() if count > 1}
    assert not (numbered and twice), f"I3: {where}: began more than once: {twice}"
    finished: datetime = seen.row["finished_at"]
    ended = finished.replace(tzinfo=UTC).timestamp()
    late = [line for line in seen.begins if line["wall"] > ended + CLOCK_SLACK]
    assert not late, f"I4: {where}: ended at {finished}, and began after that: {late}"


def check_events(where: str, seen: Seen, *, redis_lost: bool) -> None:
    """I5. The stream's ids by attempt: 1, 2, 3, …; attempts only go up."""
    ids = [parse_event_id(entry) for entry, _ in seen.stream]
    assert ids == sorted(set(ids)), f"I5: {where}: {ids}"
    if redis_lost or not ids:
        return
    assert ids[0] == (0, 1), f"I5: {where} does not begin at the beginning: {ids}"
    for (attempt, seq), following in pairwise(ids):
        assert following in ((attempt, seq + 1), (attempt + 1, 1)), f"I5: {where}: a gap: {ids}"
