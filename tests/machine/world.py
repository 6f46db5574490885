"""The engine with everything around it in one event loop, by a clock of the test's own: an API,
workers and a cron process that die and freeze as they are told, over the embedded parts."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import uuid4

from stepline.authoring import Context, Finished, Handler, RetryPolicy, TaskType, handler, task_type
from stepline.contract import Named
from stepline.errors import SteplineError

from api.errors import ProblemError
from api.idempotency import Idempotency
from api.submission import Submitter
from handlers.registry import Registry
from infra.actions.base import ActionRefused, NothingThere
from infra.actions.cancel import cancel
from infra.broker.base import BrokerUnavailable
from infra.broker.memory import MemoryBroker
from infra.broker.topology import HISTORY_QUEUE, Topology
from infra.cancellation import Cancellation
from infra.codec import now, timestamp
from infra.history.base import HistoryUnavailable, TaskFilter, TaskRecord
from infra.history.repository import SQLHistory, open_history
from infra.metrics import Metrics
from infra.state.answers import read_entry
from infra.state.barriers import Barriers
from infra.state.controls import Controls
from infra.state.idempotency import IdempotencyKeys
from infra.state.liveness import BEAT_EVERY, Heartbeat, Workers
from infra.state.models import format_event_id
from infra.state.redis import Connections
from infra.state.store import PREFIX, State, events_key, task_key
from tests.faults.invariants import Seen
from tests.faults.ledger import Submission, Try
from tests.machine.mortal import Life, MortalBroker, MortalHistory, MortalState
from tests.machine.virtual import Clock, VirtualLoop
from workers.blobs import Checkpoints
from workers.context import Services
from workers.engine import Engine
from workers.rescue import sweep
from workers.runtime import Limits, Runtime
from workers.upkeep import Upkeep

T = TypeVar("T")

QUEUE = "chain_tasks"
MOST_STEPS = 3
PATIENCE = 12.0
"""Seconds that a client waits for its answer."""

NOTICED_AFTER = 30.0
"""Seconds until the broker takes a silent process for gone."""

ENDS_WITHIN = 180.0
"""Seconds, by the clock of the test, until everything must have ended once all is well."""

ENTRIES = "return redis.call('XRANGE', KEYS[1], '-', '+')"
"""As Redis has them: the driver makes a map of an entry, in which a kind can be once."""


QUIET = 4
"""Looks in a row that must find nothing left."""


class Work(Named):
    """What a submission asks for."""

    n: int
    steps: int = 2
    seconds: float = 0.0
    raises: bool = False
    short: bool = False
    """Travels with others that are submitted at the same time."""

    @property
    def type(self) -> str:
        return "machine_short" if self.short else "machine"


@dataclass
class Process:
    """A worker that runs, in its own way."""

    life: Life
    runtime: Runtime
    broker: MortalBroker
    beating: asyncio.Task[None]


@dataclass
class Api:
    """An API that takes submissions."""

    life: Life
    submitter: Submitter
    idempotency: Idempotency
    parts: Any


@dataclass
class World:
    """One run of the machine. Its methods are what may happen."""

    folder: Path
    clock: Clock
    loop: VirtualLoop
    history: SQLHistory
    connections: Connections = field(default_factory=lambda: Connections("fake://"))
    lines: list[dict[str, Any]] = field(default_factory=list)
    workers: list[Process] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    cancelled: dict[str, str] = field(default_factory=dict)
    """Task id → what the client was told: the status, or `unknown`."""
    flushed: bool = False
    trimmed: bool = False
    away: set[str] = field(default_factory=set)
    api: Api = field(init=False)
    broker: MemoryBroker = field(init=False)
    _lives: list[Life] = field(default_factory=list)
    _asking: set[asyncio.Task[None]] = field(default_factory=set)
    _requests: set[asyncio.Task[Any]] = field(default_factory=set)
    _named: int = 0

    async def open(self) -> None:
        self.broker = MemoryBroker(Topology((QUEUE,)), publish_timeout=2.0)
        await self.broker.open()
        self.start_api()
        self.own = State(self.connections)
        self.barriers = Barriers(self.connections)

    def _life(self, kind: str) -> Life:
        self._named += 1
        life = Life(f"{kind}-{self._named}", away=self.away)
        self._lives.append(life)
        return life

    def start_api(self) -> None:
        life = self._life("api")
        state = State(self.connections)
        parts = SimpleNamespace(
            state=MortalState(life, state),
            broker=MortalBroker(life, self.broker),
            history=MortalHistory(life, self.history),
        )
        keys: Any = MortalState(life, IdempotencyKeys(state))
        submitter = Submitter(parts, _registry(life, self.lines), {})
        self.api = Api(life, submitter, Idempotency(submitter, keys, parts.history), parts)

    async def start_worker(self) -> Process:
        life = self._life("worker")
        broker: Any = MortalBroker(life, self.broker)
        exports: Any = SimpleNamespace()
        engine = Engine(
            worker=life.name,
            broker=broker,
            state=_as(MortalState(life, State(self.connections))),
            workers=_as(MortalState(life, Workers(self.connections))),
            barriers=_as(MortalState(life, Barriers(self.connections))),
            controls=_as(MortalState(life, Controls(State(self.connections)))),
            history=_as(MortalHistory(life, self.history)),
            registry=_registry(life, self.lines),
            services=Services(*[_as(SimpleNamespace())] * 4),
            checkpoints=Checkpoints(exports),
            metrics=Metrics(),
        )
        runtime = Runtime(engine, [QUEUE, HISTORY_QUEUE], Limits(3, 3), state_ttl=3600)
        runtime._watchdog = _as(SimpleNamespace(start=lambda: None, stop=lambda: None))
        await runtime.start()
        process = Process(life, runtime, broker, asyncio.create_task(self._beat(life)))
        life.on_death = lambda: self._bury(process)
        self.workers.append(process)
        return process

    async def _beat(self, life: Life) -> None:
        info = {"host": "here", "pid": 1, "version": "1", "queues": [QUEUE]}
        heart = Heartbeat(self.connections, life.name, info | {"started_at": timestamp(now())})
        while True:
            await life.gate()
            if "MortalState" not in self.away:
                heart._beat()
            await asyncio.sleep(BEAT_EVERY)

    def _bury(self, process: Process) -> None:
        """The broker sees its connection end."""
        for subscription in process.broker.subscriptions:
            subscription.queue.drop(subscription)
        self.loop.call_soon(process.broker.reconnect)
        self.workers.remove(process)

    def freeze(self, process: Process) -> None:
        process.life.freeze()
        self.loop.call_later(NOTICED_AFTER, self._notice, process)

    def _notice(self, process: Process) -> None:
        if process.life.frozen:
            for subscription in process.broker.subscriptions:
                subscription.consuming = False
                subscription.queue.drop(subscription)
            process.broker.reconnect()

    def thaw(self, process: Process) -> None:
        process.life.thaw()
        for subscription in process.broker.subscriptions:
            if not subscription.consuming:
                subscription.consuming = True
                subscription.queue.add(subscription)

    def submit(self, work: Work, *, keyed: bool) -> Submission:
        submission = Submission(work.n, uuid4().hex if keyed else None)
        self.submissions.append(submission)
        self.works.append(work)
        self.ask(self._send(submission, work))
        return submission

    def again(self, submission: Submission) -> None:
        self.ask(self._send(submission, self.works[submission.n]))

    async def _send(self, submission: Submission, work: Work) -> None:
        """One request of a client, and what came of it."""
        if self.api.life.dead:
            self.start_api()
        api = self.api
        sent = time.monotonic()
        task_id = None
        envelope = api.submitter.draft(work.type, work)
        try:
            if submission.key is None:
                await self._patiently(api.submitter.submit(envelope))
            else:
                asked = api.idempotency.submit(submission.key, envelope)
                envelope, _ = await self._patiently(asked)
        except BrokerUnavailable as error:
            answer, detail = "refused", repr(error)
        except (SteplineError, ProblemError, HistoryUnavailable, TimeoutError) as error:
            answer, detail = "ambiguous", repr(error)
        else:
            answer, detail, task_id = "accepted", "", envelope.tasks[0].id
        made = Try(sent, time.monotonic(), answer, detail, task_id)  # type: ignore[arg-type]
        submission.tries.append(made)

    async def _patiently(self, request: Coroutine[Any, Any, T]) -> T:
        """A client goes when its patience ends, also from an API that is too dead to notice."""
        answer = self.loop.create_task(request)
        self._requests.add(answer)
        answer.add_done_callback(self._requests.discard)
        await asyncio.wait({answer}, timeout=PATIENCE)
        if answer.done():
            return answer.result()
        answer.cancel()
        raise TimeoutError

    def call_off(self, task_id: str) -> None:
        self.ask(self._cancel(task_id))

    async def _cancel(self, task_id: str) -> None:
        if self.api.life.dead:
            self.start_api()
        self.cancelled.setdefault(task_id, "unknown")
        request = cancel(self.api.parts, task_id, Cancellation("me", timestamp(now())))
        try:
            told = await self._patiently(request)
        except ActionRefused:
            self.cancelled[task_id] = "already_ended"
        except (NothingThere, SteplineError, HistoryUnavailable, TimeoutError):
            pass
        else:
            self.cancelled[task_id] = told.value

    def ask(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def duplicate(self, task_id: str) -> None:
        """The task's first message comes once more."""
        record = await self.history.get(task_id)
        if record is not None:
            work = self.works[record.payload["n"]]
            envelope = self.api.submitter.draft(work.type, work)
            again = envelope.single(envelope.tasks[0], id=task_id, created_at=record.created_at)
            await self.broker.send(QUEUE, again.message())
            await self.broker.send(HISTORY_QUEUE, again.message())

    async def lose_messages(self) -> None:
        """The queue of work is deleted, and made anew by whoever looks."""
        self.broker._queues[QUEUE]._ready.clear()

    async def flush(self) -> None:
        self.flushed = True
        await self.connections.client().flushall()

    async def trim(self, task_id: str) -> None:
        self.trimmed = True
        await self.connections.client().xtrim(events_key(task_id), maxlen=1)

    async def rescue(self) -> None:
        parts = SimpleNamespace(
            broker=self.broker,
            state=self.own,
            history=self.history,
            barriers=self.barriers,
            workers=Workers(self.connections),
            controls=Controls(self.own),
            exports=SimpleNamespace(),
        )
        await sweep(_as(parts), [QUEUE])

    async def release(self) -> None:
        parts = SimpleNamespace(broker=self.broker, state=self.own, history=self.history)
        await Upkeep(_as(parts), _registry(Life("cron"), self.lines)).release()

    async def settle(self) -> None:
        """All is well again. Whatever was accepted must end now."""
        self.away.clear()
        for process in list(self.workers):
            self.thaw(process)
            process.life.doom(-1, "before")
        self.api.life.doom(-1, "before")
        await self.start_worker()
        deadline = time.monotonic() + ENDS_WITHIN
        while self._asking:
            assert time.monotonic() < deadline, f"clients still wait for an answer: {self._asking}"
            await asyncio.sleep(0.5)
        rounds = quiet = 0
        while quiet < QUIET:  # one that was frozen may still have something in hand
            left = await self._left()
            assert time.monotonic() < deadline, f"I1/I6: never ended: {left}"
            quiet = 0 if left else quiet + 1
            await self.release()
            if rounds % 10 == 0:
                await self.rescue()
            rounds += 1
            await asyncio.sleep(0.5)

    async def _left(self) -> list[str]:
        rows = {row.id: row for row in await self._rows()}
        accepted = {task_id for item in self.submissions for task_id in item.task_ids}
        left = [f"history does not know {task_id}" for task_id in accepted - rows.keys()]
        left += [f"{row.id} is {row.status}" for row in rows.values() if not row.status.ended]
        for key in await self.connections.client().keys(f"{PREFIX}{{*}}"):
            if await self.connections.client().hget(key, "token"):
                left.append(f"{key.decode()} is held")
        left += [f"messages in {name}" for name, queue in self.broker._queues.items() if len(queue)]
        left += [f"{sub.queue.name} is held" for sub in self.broker._subscriptions if sub._held]
        left += ["delayed messages"] if self.broker._timers else []
        return left

    async def _rows(self) -> list[TaskRecord]:
        page = await self.history.list_tasks(TaskFilter(), limit=1_000)
        return list(page.tasks)

    async def seen(self) -> dict[str, Seen]:
        """Every task from every side."""
        tasks: dict[str, Seen] = {}
        client = self.connections.client()
        for row in await self._rows():
            record = await self.history.get(row.id)
            assert record is not None
            fields = await client.hgetall(task_key(row.id))
            entries = await client.eval(ENTRIES, 1, events_key(row.id))
            attempts = await self.history.attempts(row.id)
            tasks[row.id] = Seen(
                row={
                    "payload": json.dumps(record.payload),
                    "status": record.status.value,
                    "result": json.dumps(record.result),
                    "error": record.error,
                    "finished_at": _naive(record.finished_at),
                },
                hash={key.decode(): value.decode() for key, value in fields.items()},
                stream=[
                    (format_event_id(event.id), json.loads(event.json))
                    for entry, data in entries
                    for event in read_entry(entry, data)
                ],
                recorded=[event for attempt in attempts for event in attempt.events],
                begins=[x for x in self.lines if x["begin"] and x["task"] == row.id],
                ends=[x for x in self.lines if not x["begin"] and x["task"] == row.id],
            )
        return tasks

    async def close(self) -> None:
        for life in self._lives:
            life.over = True
            life.thaw()
        for _ in range(5):
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=1.0)
        await self.broker.close()
        await self.history.close()


def _as(value: Any) -> Any:
    return value


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=None)


def _registry(life: Life, lines: list[dict[str, Any]]) -> Registry:
    """The machine's task type, as this process runs it."""

    def step(index: int) -> Handler:
        async def run(ctx: Context, payload: Work) -> dict[str, Any]:
            await life.gate()
            where = {"task": ctx.task_id, "step": index, "attempt": ctx.attempt}
            line = where | {"nonce": uuid4().hex[:8], "saved": ctx.saved}
            lines.append(line | {"begin": True, "wall": time.time()})
            await ctx.save({"by": ctx.attempt})
            await asyncio.sleep(payload.seconds)
            await life.gate()
            if payload.raises and index == payload.steps - 1:
                raise RuntimeError("as it was told")
            lines.append(line | {"begin": False, "wall": time.time()})
            return {"step": index, "attempt": ctx.attempt, "nonce": line["nonce"]}

        return handler(name=f"machine_{index}")(run)

    def finish(finished: Finished) -> list[Any]:
        return [output for _, output in finished.outputs]

    steps = [step(index) for index in range(MOST_STEPS)]

    def declared(name: str, *, short: bool) -> TaskType:
        return task_type(
            name,
            payload=Work,
            handlers=steps,
            plan=lambda work: [f"machine_{index}" for index in range(work.steps)],
            queue=QUEUE,
            retry=RetryPolicy(attempts=3, base=0.05, cap=0.2),
            finish=finish,
            short=short,
        )

    return Registry([declared("machine", short=False), declared("machine_short", short=True)])


async def make_world(folder: Path, template: Path, clock: Clock, loop: VirtualLoop) -> World:
    """A fresh one, with an empty database."""
    path = folder / f"{uuid4().hex}.db"
    shutil.copy(template, path)
    history = await open_history(f"sqlite+aiosqlite:///{path}")
    world = World(folder, clock, loop, history)
    await world.open()
    return world
