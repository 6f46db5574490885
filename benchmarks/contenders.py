"""Who is measured: how each is started, what it can do, and what it promises meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.scenarios import (
    BACKLOG,
    BULK,
    BURST,
    CHAIN,
    GROWTH,
    HTTP,
    IO,
    LARGE,
    LATENCY,
    SUSTAINED,
    Scenario,
)


@dataclass(frozen=True, slots=True)
class Promises:
    """What holds while the figures are taken, in a few words each."""

    confirmed: str
    """Does a submission that returned mean that the broker has it safe?"""
    result: str
    history: str
    crash: str
    """What becomes of a running task whose worker is killed."""
    events: str


@dataclass(frozen=True, slots=True)
class Contender:
    """One system in one set-up."""

    name: str
    title: str
    module: str
    """Its file among `peers`, and of its locked requirements, if it has an environment of its
    own."""
    packages: Sequence[str]
    """Whose versions are told."""
    scenarios: Sequence[Scenario]
    promises: Promises
    submits: str
    """How the driver submits."""
    own_environment: bool = True
    setups: Sequence[str] = ("throughput",)
    """Set-ups that differ; a scenario that wants another one gets the first."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def is_bare(self) -> bool:
        """An HTTP endpoint and nothing behind it."""
        return self.module == "bare"

    @property
    def is_ours(self) -> bool:
        return self.module == "stepline_peer"

    def setup_for(self, scenario: Scenario) -> str:
        return scenario.setup if scenario.setup in self.setups else self.setups[0]


PEER = (BURST, LATENCY, CHAIN, IO, HTTP, LARGE, BACKLOG)

STEPLINE_PROMISES = Promises(
    confirmed="yes: quorum queue, for the work and for history",
    result="Redis for a day, then MySQL for good",
    history="a row per task and per attempt, in MySQL",
    crash="taken over after 3 s, at the step without a checkpoint",
    events="every step, live and replayable",
)

CONTENDERS = (
    Contender(
        "stepline",
        "Stepline, a POST a task",
        "stepline_peer",
        (),
        (BURST, LATENCY, CHAIN, IO, HTTP, LARGE, GROWTH, SUSTAINED),
        STEPLINE_PROMISES,
        "HTTP, one POST a task on 64 connections",
        own_environment=False,
        setups=("throughput", "io", "single"),
    ),
    Contender(
        "stepline_bulk",
        "Stepline, in bulk",
        "stepline_peer",
        (),
        (BURST, CHAIN, IO, BULK, BACKLOG),
        STEPLINE_PROMISES,
        "HTTP, `POST /tasks/bulk`, 1,000 tasks each, on 4 connections",
        own_environment=False,
        setups=("throughput", "io"),
        environment={"BENCH_VIA": "bulk"},
    ),
    Contender(
        "raw_pipe",
        "raw pipe",
        "raw_pipe_peer",
        ("aiormq",),
        (BURST, LATENCY, BULK, LARGE, BACKLOG),
        Promises("yes: quorum queue", "none", "none", "redelivered", "none"),
        "aiormq, 500 publishes in flight",
        own_environment=False,
    ),
    Contender(
        "celery",
        "Celery",
        "celery_peer",
        ("celery", "kombu", "amqp", "redis"),
        PEER,
        Promises(
            "no (an option of the transport)",
            "Redis, one hour",
            "none",
            "redelivered, from the start (acks_late, set here)",
            "state changes, at most",
        ),
        "in process, `delay()`",
        setups=("throughput", "io"),
    ),
    Contender(
        "taskiq",
        "TaskIQ",
        "taskiq_peer",
        ("taskiq", "taskiq-aio-pika", "taskiq-redis", "aio-pika"),
        PEER,
        Promises(
            "yes: aio-pika's default; a classic queue",
            "Redis, one hour",
            "none",
            "redelivered, from the start",
            "none",
        ),
        "in process, 200 `kiq()` in flight",
        setups=("throughput", "io"),
    ),
    Contender(
        "dramatiq",
        "Dramatiq",
        "dramatiq_peer",
        ("dramatiq", "pika", "redis"),
        PEER,
        Promises(
            "no (an option)", "Redis, one hour", "none", "redelivered, from the start", "none"
        ),
        "in process, `send()`",
        setups=("throughput", "io"),
    ),
    Contender(
        "arq",
        "arq",
        "arq_peer",
        ("arq", "redis"),
        PEER,
        Promises(
            "Redis has it, in memory (fsync each second)",
            "Redis, one hour",
            "none",
            "again after the job's timeout (300 s)",
            "none",
        ),
        "in process, 200 `enqueue_job()` in flight",
    ),
    Contender(
        "saq",
        "SAQ",
        "saq_peer",
        ("saq", "redis"),
        PEER,
        Promises(
            "Redis has it, in memory (fsync each second)",
            "Redis, ten minutes",
            "none",
            "swept up after its timeout, if it has a heartbeat",
            "none",
        ),
        "in process, 200 `enqueue()` in flight",
        setups=("throughput", "io"),
    ),
    Contender(
        "streaq",
        "streaq",
        "streaq_peer",
        ("streaq", "coredis"),
        (*PEER, BULK),
        Promises(
            "Redis has it, in memory (fsync each second)",
            "Redis, five minutes",
            "none",
            "taken over when its idle timeout is over",
            "none",
        ),
        "in process, `enqueue_many()`",
        setups=("throughput", "io"),
    ),
    Contender(
        "bare",
        "bare FastAPI",
        "bare",
        ("fastapi", "uvicorn", "uvloop"),
        (HTTP,),
        Promises("it promises nothing: the limit of HTTP", "none", "none", "lost", "none"),
        "nothing is submitted",
        own_environment=False,
    ),
)

BY_NAME = {item.name: item for item in CONTENDERS}
