"""The engine against a machine that does to it whatever it likes, in any order: each run must end
with every promise kept."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from infra.history.engine import make_engine
from infra.history.schema import migrate_engine
from tests.faults.invariants import (
    check_accepted,
    check_ends,
    check_events,
    check_history,
    check_outputs,
    check_runs,
    check_steps,
)
from tests.faults.ledger import Submission
from tests.machine.mortal import Mode
from tests.machine.virtual import Clock, VirtualLoop, living_by
from tests.machine.world import Process, Work, World, make_world

LONG = os.environ.get("STEPLINE_FAULTS") == "long"
EXAMPLES = 1_500 if LONG else 25
STEPS = 30
MOST_WORKERS = 3
MOST_LOSSES = 5
"""Holders that a task may lose before it fails for that."""

FOLDER = Path(tempfile.mkdtemp(prefix="sl-machine-"))

seconds = st.sampled_from([0.0, 0.001, 0.02, 0.3, 1.0, 3.5])
soon = st.sampled_from([0.0, 0.005, 0.05, 0.5, 2.0])
which = st.integers(0, 7)


@pytest.fixture(scope="module", autouse=True)
def template() -> Any:
    """A migrated database, to be copied for each run."""
    path = FOLDER / "template.db"

    async def migrate() -> None:
        engine = make_engine(f"sqlite+aiosqlite:///{path}")
        await migrate_engine(engine)
        await engine.dispose()

    asyncio.run(migrate())
    yield path
    shutil.rmtree(FOLDER, ignore_errors=True)


class EngineMachine(RuleBasedStateMachine):
    """Rules are what may happen; `teardown` lets all of it come to rest, and looks."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        clock = Clock()
        self.stack.enter_context(structlog.testing.capture_logs())  # tracebacks take their time
        self.stack.enter_context(living_by(clock))
        self.loop = VirtualLoop(clock)
        self.stack.callback(self.loop.close)
        self.world: World = self.run(make_world(FOLDER, FOLDER / "template.db", clock, self.loop))
        self.may_forget = False
        self.calm = False
        """Nobody dies, sleeps or is away: then no step may run twice."""
        self.deaths = 0

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def after(self, wait: float) -> None:
        self.run(asyncio.sleep(wait))

    def do(self, what: Callable[[], object], wait: float = 0.0) -> None:
        """Something that is done at once, on the loop; then time passes."""

        async def act() -> None:
            what()
            await asyncio.sleep(wait)

        self.run(act())

    @initialize(
        nature=st.sampled_from(["calm", "deadly", "deadly", "forgetful"]),
        takes=st.lists(st.sampled_from([0.2, 1.5, 6.0]), min_size=3, max_size=6),
        wait=soon,
    )
    def begin(self, nature: str, takes: list[float], wait: float) -> None:
        """Two workers with something to do: most of what may happen needs that to matter."""
        self.may_forget = nature == "forgetful"
        self.calm = nature == "calm"
        self.run(self.world.start_worker())
        self.run(self.world.start_worker())
        for seconds in takes:
            work = Work(n=len(self.world.submissions), steps=3, seconds=seconds)
            self.world.submit(work, keyed=True)
        self.after(wait)

    # what clients do

    @rule(
        steps=st.integers(1, 3),
        takes=seconds,
        raises=st.sampled_from([False, False, False, True]),
        delay=st.sampled_from([None, None, None, 1.0, 4.0]),
        keyed=st.booleans(),
        wait=soon,
    )
    def submit(
        self, steps: int, takes: float, raises: bool, delay: float | None, keyed: bool, wait: float
    ) -> None:
        n = len(self.world.submissions)
        more = {} if delay is None else {"delay": delay}
        work = Work(n=n, steps=steps, seconds=takes, raises=raises, **more)
        self.world.submit(work, keyed=keyed)
        self.after(wait)

    @rule(
        count=st.integers(2, 5),
        steps=st.integers(1, 2),
        takes=seconds,
        poisonous=st.integers(0, 9),
        wait=soon,
    )
    def submit_several_short_ones(
        self, count: int, steps: int, takes: float, poisonous: int, wait: float
    ) -> None:
        for place in range(count):
            work = Work(
                n=len(self.world.submissions),
                steps=steps,
                seconds=takes,
                raises=place == poisonous,
                short=True,
            )
            self.world.submit(work, keyed=False)
        self.after(wait)

    @rule(index=which, wait=soon)
    def submit_again(self, index: int, wait: float) -> None:
        keyed = [item for item in self.world.submissions if item.key is not None]
        if keyed:
            self.world.again(keyed[index % len(keyed)])
            self.after(wait)

    @rule(index=which, wait=soon)
    def cancel(self, index: int, wait: float) -> None:
        if task_id := self._task(index):
            self.world.call_off(task_id)
            self.after(wait)

    @rule(wait=st.sampled_from([0.01, 0.1, 1.0, 5.0, 31.0]))
    def wait(self, wait: float) -> None:
        self.after(wait)

    # what happens to processes

    @precondition(lambda self: len(self.world.workers) < MOST_WORKERS)
    @rule()
    def start_a_worker(self) -> None:
        self.run(self.world.start_worker())

    @precondition(lambda self: not self.calm)
    @rule(
        index=which,
        writes=st.integers(0, 12),
        mode=st.sampled_from(["before", "after"]),
        wait=soon,
    )
    def doom_a_worker(self, index: int, writes: int, mode: Mode, wait: float) -> None:
        if (process := self._worker(index)) and self.deaths < MOST_LOSSES:
            self.deaths += 1
            process.life.doom(writes, mode)
            self.after(wait)

    @precondition(lambda self: not self.calm)
    @rule(index=which, writes=st.integers(0, 12))
    def lose_an_answer_to_a_worker(self, index: int, writes: int) -> None:
        if process := self._worker(index):
            process.life.doom(writes, "unanswered")

    @rule(writes=st.integers(0, 5), mode=st.sampled_from(["before", "after", "unanswered"]))
    def doom_the_api(self, writes: int, mode: Mode) -> None:
        self.world.api.life.doom(writes, mode)

    @precondition(lambda self: not self.calm)
    @rule(index=which, asleep=st.sampled_from([0.5, 5.0, 35.0, 35.0]), wait=soon)
    def freeze_a_worker(self, index: int, asleep: float, wait: float) -> None:
        """Long enough for others to take its tasks, or not; then it wakes, and knows nothing."""
        if (process := self._worker(index)) and self.deaths < MOST_LOSSES:
            self.deaths += 1
            self.do(lambda: self.world.freeze(process), asleep)
            self.do(lambda: self.world.thaw(process), wait)

    # what happens to services

    @rule(index=which, wait=soon)
    def break_a_connection(self, index: int, wait: float) -> None:
        if process := self._worker(index):
            self.do(process.broker.reconnect, wait)

    @precondition(lambda self: not self.calm)
    @rule(part=st.sampled_from(["MortalState", "MortalHistory", "MortalBroker"]), wait=soon)
    def go_away(self, part: str, wait: float) -> None:
        self.world.away.add(part)
        self.after(wait)

    @rule(wait=soon)
    def come_back(self, wait: float) -> None:
        self.world.away.clear()
        self.after(wait)

    @rule(index=which)
    def deliver_twice(self, index: int) -> None:
        if task_id := self._task(index):
            self.run(self.world.duplicate(task_id))

    @rule()
    def lose_the_queue(self) -> None:
        self.run(self.world.lose_messages())

    @rule()
    def rescue(self) -> None:
        self.run(self.world.rescue())

    @rule()
    def release(self) -> None:
        self.run(self.world.release())

    @precondition(lambda self: self.may_forget)
    @rule(wait=soon)
    def flush(self, wait: float) -> None:
        self.run(self.world.flush())
        self.after(wait)

    @precondition(lambda self: self.may_forget)
    @rule(index=which)
    def trim(self, index: int) -> None:
        if task_id := self._task(index):
            self.run(self.world.trim(task_id))

    def teardown(self) -> None:
        try:
            self.run(self._look())
        finally:
            self.run(self.world.close())
            self.stack.close()

    async def _look(self) -> None:
        world = self.world
        await world.settle()
        tasks = await world.seen()
        lost = world.flushed
        check_accepted(world.submissions, tasks, self._wanted)
        check_history(world.submissions, tasks)
        for task_id, seen in tasks.items():
            where = f"task {task_id} ({seen.row['payload']})"
            check_ends(where, seen)
            if not lost:
                check_steps(where, seen)
                check_outputs(where, seen)
            once = self.calm and not json.loads(seen.row["payload"]).get("raises")
            check_runs(where, seen, once=once, numbered=not lost)
            check_events(where, seen, redis_lost=lost or world.trimmed)
            if world.cancelled.get(task_id) == "CANCELLED":
                assert seen.row["status"] == "CANCELLED", f"{where} was told to be cancelled"

    def _wanted(self, submission: Submission) -> set[str]:
        work = self.world.works[submission.n]
        wanted = {"FAILURE" if work.raises else "SUCCESS"}
        if submission.task_ids & self.world.cancelled.keys():
            wanted.add("CANCELLED")
        return wanted

    def _task(self, index: int) -> str | None:
        known = [task_id for item in self.world.submissions for task_id in sorted(item.task_ids)]
        return known[index % len(known)] if known else None

    def _worker(self, index: int) -> Process | None:
        running = self.world.workers
        return running[index % len(running)] if running else None


TestEngine = pytest.mark.timeout(3_000 if LONG else 600)(EngineMachine.TestCase)
TestEngine.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
)
