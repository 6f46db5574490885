"""How the recorder forms its batches. (What becomes of the rows: conformance and integration.)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest
from stepline.contract import Status

from infra.broker.memory import MemoryBroker
from infra.broker.topology import HISTORY_QUEUE, Topology
from infra.envelope import Envelope, TaskMessage
from infra.history.base import (
    DeadLetterRecord,
    HistoryRejected,
    HistoryUnavailable,
    TaskRecord,
)
from infra.metrics import Metrics
from infra.records import base_record, history_message
from tests.waiting import wait_for
from workers import inbox, recorder
from workers.engine import Engine
from workers.recorder import Load, Recorder
from workers.rescue import barrier_message

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Batches:
    """A history that only notes who came with whom."""

    written: list[list[str]] = field(default_factory=list)
    letters: list[DeadLetterRecord] = field(default_factory=list)
    refuses: str = ""
    """The id of a task whose payload it cannot keep."""
    begun: list[str] = field(default_factory=list)
    may_end: asyncio.Event | None = None
    """What writing waits for."""
    away: bool = False
    checks: int = 0
    barriers: list[tuple[str, str]] = field(default_factory=list)

    async def check(self) -> None:
        self.checks += 1
        if self.away:
            raise HistoryUnavailable("nobody there")

    async def passed(self, barrier: str, queue: str) -> None:
        """As the barriers."""
        self.barriers.append((barrier, queue))

    async def expire(self, task_ids: Sequence[str], seconds: int) -> None:
        """As the state, which is no matter here."""

    async def record(self, records: Sequence[TaskRecord]) -> None:
        self.begun += [record.id for record in records]
        if self.may_end is not None:
            await self.may_end.wait()
        if self.away:
            raise HistoryUnavailable("nobody there")
        for record in records:
            if record.id == self.refuses and record.payload is not None:
                raise HistoryRejected("what a payload")
        self.written.append([record.id for record in records])

    async def add_dead_letters(self, letters: Sequence[DeadLetterRecord]) -> None:
        self.letters += letters

    @property
    def ids(self) -> list[str]:
        return [task_id for batch in self.written for task_id in batch]


@dataclass
class Scene:
    broker: MemoryBroker
    batches: Batches
    recorder: Recorder | None = None
    load: Load = "idle"
    """What else the recorder's process does."""

    async def tell(self, *task_ids: str) -> None:
        for task_id in task_ids:
            record = TaskRecord(
                id=task_id,
                type="quick",
                queue="quick_tasks",
                status=Status.RUNNING,
                attempt=1,
                seq=1,
                created_at=NOON,
                updated_at=NOON,
                handlers=["quick"],
            )
            await self.broker.send(*history_message(record))

    async def hold_up(self, *task_ids: str) -> asyncio.Event:
        """Tell of them one after the other, each a batch that is being written until the event."""
        self.batches.may_end = may_end = asyncio.Event()
        for place, task_id in enumerate(task_ids, 1):
            await self.tell(task_id)
            await wait_for(lambda place=place: self.batches.begun == list(task_ids[:place]))
        return may_end

    async def written(self, *task_ids: str) -> None:
        await wait_for(lambda: set(task_ids) <= set(self.batches.ids), timeout=10)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    broker = MemoryBroker(Topology(("quick_tasks",)), 5.0)
    broker.confirms_history = False  # as RabbitMQ: nobody waits for the rows
    await broker.open()
    batches = Batches()
    engine = SimpleNamespace(
        broker=broker, history=batches, state=batches, barriers=batches, metrics=Metrics()
    )
    here = Scene(broker, batches)
    running = Recorder(cast(Engine, engine), state_ttl=60, load=lambda: here.load)
    here.recorder = running
    await running.start()
    yield here
    await running.stop()
    await broker.close()


async def test_what_comes_together_is_written_together(scene: Scene) -> None:
    await scene.tell("a", "b", "c")
    await scene.written("a", "b", "c")

    assert scene.batches.written == [["a", "b", "c"]]


async def test_a_trickle_is_written_at_a_pace_and_not_one_by_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.5)
    await scene.tell("first")
    await scene.written("first")

    for number in range(10):
        await scene.tell(str(number))
        await asyncio.sleep(0.01)  # a client that submits one after the other
    await scene.written(*map(str, range(10)))

    assert len(scene.batches.written) <= 3  # not eleven, however slow the machine


async def test_a_full_batch_does_not_wait_for_its_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 3600.0)
    monkeypatch.setattr(inbox, "BATCH", 3)
    await scene.tell("first")
    await scene.written("first")

    await scene.tell("a", "b")
    await scene.tell("c")
    await scene.written("a", "b", "c")

    assert scene.batches.written == [["first"], ["a", "b", "c"]]


async def test_bytes_fill_a_batch_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "PACE", 3600.0)
    monkeypatch.setattr(inbox, "BATCH_BYTES", 1)
    await scene.tell("a")
    await scene.written("a")

    await scene.tell("b", "c")
    await scene.written("b", "c")

    assert scene.batches.written == [["a"], ["b"], ["c"]]


async def test_after_a_batch_running_tasks_go_first(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.0)
    monkeypatch.setattr(recorder, "MAKES_WAY", 1e9)
    scene.load = "busy"
    await scene.tell("a")
    await scene.written("a")
    await scene.tell("b")
    await asyncio.sleep(0.3)
    assert scene.batches.ids == ["a"]

    scene.load = "idle"
    await scene.written("b")


async def test_it_waits_for_all_tasks_that_wait_for_the_process(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.0)
    scene.load = "crowded"
    await scene.tell("a")
    await asyncio.sleep(0.3)
    assert scene.batches.ids == []

    scene.load = "busy"
    await scene.written("a")


async def test_it_waits_for_no_tasks_when_it_has_to_stop(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LATEST", 3600.0)
    scene.load = "crowded"
    await scene.tell("a")
    running = scene.recorder
    assert running is not None
    await wait_for(lambda: running._inbox.age > 0)
    await running.stop()

    assert scene.batches.ids == ["a"]


async def test_it_does_not_wait_for_all_tasks_where_somebody_waits_for_the_rows(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LATEST", 3600.0)
    assert scene.recorder is not None
    scene.recorder._awaited = True
    scene.load = "crowded"
    await scene.tell("a")
    await scene.written("a")


async def test_one_batch_is_prepared_while_another_is_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.0)
    may_end = await scene.hold_up("a", "b")
    await scene.tell("c")
    await asyncio.sleep(0.1)
    assert scene.batches.begun == ["a", "b"]  # and no third

    may_end.set()
    await scene.written("a", "b", "c")


async def test_while_tasks_run_it_is_one_batch_at_a_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.0)
    scene.load = "busy"
    may_end = await scene.hold_up("a")
    await scene.tell("b")
    await asyncio.sleep(0.1)
    assert scene.batches.begun == ["a"]

    may_end.set()
    await scene.written("a", "b")


async def test_a_marker_passes_when_all_before_it_is_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.0)
    may_end = await scene.hold_up("a")
    await scene.broker.send(HISTORY_QUEUE, barrier_message("marker"))
    await asyncio.sleep(0.1)
    assert scene.batches.barriers == []

    may_end.set()
    await wait_for(lambda: scene.batches.barriers == [("marker", HISTORY_QUEUE)])
    assert scene.batches.ids == ["a"]


async def test_when_history_is_away_all_that_was_in_hand_comes_again_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.0)
    monkeypatch.setattr(recorder, "AWAY_PAUSE", 0.05)
    scene.batches.away = True
    may_end = await scene.hold_up("a", "b")
    may_end.set()  # both find nobody
    await wait_for(lambda: scene.batches.checks > 2)
    scene.batches.away = False

    await scene.written("a", "b")
    assert sorted(scene.batches.ids) == ["a", "b"]


@pytest.mark.parametrize("load", ["busy", "crowded"])
async def test_no_tasks_go_first_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, load: Load
) -> None:
    monkeypatch.setattr(recorder, "MAKES_WAY", 1e9)
    monkeypatch.setattr(recorder, "LATEST", 0.0)
    scene.load = load
    await scene.tell("a")
    await scene.written("a")

    await scene.tell("b")
    await scene.written("b")


async def test_an_acceptance_that_comes_after_its_task_s_end_is_not_written_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PACE", 0.0)
    task = TaskMessage("t", "quick", ("quick",), {"n": 1}, NOON)
    other = TaskMessage("other", "quick", ("quick",), {"n": 2}, NOON)
    ended = base_record("quick_tasks", task, Status.SUCCESS)
    await scene.broker.send(*history_message(ended))
    await scene.written("t")

    await scene.broker.accept("quick_tasks", Envelope("quick_tasks", (task, other)).message())
    await scene.written("other")

    assert scene.batches.ids == ["t", "other"]


async def test_of_an_end_that_the_database_refuses_it_is_kept_that_the_task_has_ended(
    scene: Scene,
) -> None:
    tasks = [TaskMessage(name, "quick", ("quick",), {"n": 1}, NOON) for name in ("good", "bad")]
    scene.batches.refuses = "bad"
    await scene.broker.accept("quick_tasks", Envelope("quick_tasks", tuple(tasks)).message())
    for task in tasks:
        await scene.broker.send(*history_message(base_record("quick_tasks", task, Status.SUCCESS)))

    await scene.written("good", "bad")
    await wait_for(lambda: scene.batches.letters)
    (letter,) = scene.batches.letters
    assert (letter.task_id, letter.reason) == ("bad", "history_refused")


class Cut:
    """A delivery whose channel is closed while it is acknowledged, which the driver tells by a
    cancellation of whoever waits."""

    queue = "history"
    count = 0

    def __init__(self, record: TaskRecord) -> None:
        self.message = history_message(record)[1]
        self.released = False

    async def ack(self) -> None:
        raise asyncio.CancelledError

    async def release(self) -> None:
        self.released = True


async def test_a_cancellation_that_is_not_its_own_does_not_end_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "AWAY_PAUSE", 0.0)
    task = TaskMessage("cut", "quick", ("quick",), {"n": 1}, NOON)
    cut = Cut(base_record("quick_tasks", task, Status.RUNNING))
    assert scene.recorder is not None
    scene.recorder._inbox.put(cut)
    await scene.written("cut")
    await wait_for(lambda: cut.released)

    await scene.tell("next")
    await scene.written("next")
