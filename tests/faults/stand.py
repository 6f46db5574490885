"""The test stand: an API and workers as processes of their own, over private services, with a
proxy before each service. Everything in it may be hurt."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx2
import pymysql
import redis
from stepline.client import Client

from infra.history.engine import make_engine
from infra.history.schema import migrate_engine
from infra.resources import Resources, open_resources
from infra.services.mariadb import MariaDB
from infra.services.ports import free_port
from infra.services.rabbitmq import RabbitMQ, amqp_url
from infra.services.redis import Redis
from infra.settings import Settings
from tests.faults.census import Census, take
from tests.faults.journal import Reader
from tests.faults.kinds import FOLDER
from tests.faults.ledger import Ledger
from tests.faults.proxy import HOST, Proxy
from tests.waiting import PATIENCE, wait_for
from workers.rescue import sweep

ROOT = Path(__file__).parents[2]
STOP_TIMEOUT = 40.0
QUEUES = ("quick_tasks", "long_tasks", "email_tasks", "chain_tasks")


@dataclass(frozen=True)
class Services:
    """The private services of the session."""

    rabbitmq: RabbitMQ
    redis: Redis
    mariadb: MariaDB


@dataclass
class Stand:
    """One test's deployment: its own virtual host and database, an empty Redis."""

    services: Services
    folder: Path
    vhost: str
    database: str
    broker_link: Proxy
    redis_link: Proxy
    database_link: Proxy
    settings: dict[str, str] = field(default_factory=dict)
    processes: ExitStack = field(default_factory=ExitStack)
    api_port: int = field(default_factory=free_port)
    api: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    crons: list[subprocess.Popen[bytes]] = field(default_factory=list)
    baseline: dict[int, Census] = field(default_factory=dict)
    ledger: Ledger = field(init=False)
    _reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.url)
        self._reader = Reader(self.folder)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def direct(self) -> dict[str, str]:
        """URLs past the proxies."""
        return {
            "broker_url": amqp_url(self.services.rabbitmq.port, self.vhost),
            "redis_url": self.services.redis.url,
            "database_url": self.services.mariadb.url_of(self.database),
        }

    def environment(self) -> dict[str, str]:
        links = zip(
            self.direct.items(),
            (self.broker_link, self.redis_link, self.database_link),
            strict=True,
        )
        urls = {f"STEPLINE_{name.upper()}": _through(url, proxy) for (name, url), proxy in links}
        return {
            "STEPLINE_API_PORT": str(self.api_port),
            "STEPLINE_DATA_DIR": str(self.folder / "data"),
            "STEPLINE_LOG_LEVEL": "info",
            "STEPLINE_LOG_FORMAT": "json",
            "STEPLINE_WORKER_GRACE": "2",
            "STEPLINE_PUBLISH_TIMEOUT": "2",
            FOLDER: str(self.folder),
            **urls,
            **self.settings,
        }

    async def migrate(self) -> None:
        engine = make_engine(self.direct["database_url"])
        await migrate_engine(engine)
        await engine.dispose()

    async def up(self, workers: int = 1) -> None:
        """Start the API and so many workers, and have one task done by all of it."""
        self.start_api()
        for _ in range(workers):
            self.start_worker()
        await self.until_workers(workers)
        await self.until_answering()
        first = await self.ledger.accept(steps=1)
        await self.until_recorded(first)
        self.baseline = self.census()

    def start_api(self) -> subprocess.Popen[bytes]:
        self.api = self._start("tests.faults.api_main")
        return self.api

    def start_worker(self) -> subprocess.Popen[bytes]:
        worker = self._start("tests.faults.worker_main")
        self.workers.append(worker)
        return worker

    def start_cron(self) -> subprocess.Popen[bytes]:
        cron = self._start("workers.cron")
        self.crons.append(cron)
        return cron

    def _start(self, module: str) -> subprocess.Popen[bytes]:
        return self.processes.enter_context(_process(module, self.folder, self.environment()))

    @property
    def alive(self) -> list[subprocess.Popen[bytes]]:
        """The workers that run."""
        return [worker for worker in self.workers if worker.poll() is None]

    @property
    def started(self) -> list[subprocess.Popen[bytes]]:
        """Of those that run, the workers that work: before that, SIGTERM ends one like any
        program."""
        return [one for one in self.alive if "worker_started" in self.log_of(one)]

    async def until_answering(self, timeout: float = PATIENCE) -> None:
        """The API answers, and broker and Redis are ready."""
        async with httpx2.AsyncClient(base_url=self.url, timeout=5.0) as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/health/ready")).status_code == 200
                except httpx2.TransportError:
                    return False

            await wait_for(ready, timeout)

    async def until_workers(self, count: int, timeout: float = PATIENCE) -> None:
        """So many workers run and have registered their consumers."""

        await wait_for(lambda: len(self.started) >= count, timeout)

    async def until_recorded(self, task_id: str, timeout: float = PATIENCE) -> None:
        """The task has ended, and history has it."""
        await wait_for(lambda: asyncio.to_thread(self.has_ended, task_id), timeout)

    async def until_begun(self, task_id: str, step: int, timeout: float = PATIENCE) -> None:
        """That step of the task is running, or was."""
        await wait_for(lambda: self.lines("begin", task_id, step), timeout)

    async def until_more_end(self, count: int = 20, timeout: float = PATIENCE) -> None:
        """So many more steps have ended than had when this was asked."""
        before = len(self.lines("end"))
        await wait_for(lambda: len(self.lines("end")) >= before + count, timeout)

    async def recovered(self, since: float, timeout: float = PATIENCE) -> float:
        """Waits for the first submission sent after `since` (monotonic) that is accepted. Returns
        the seconds from then to its answer."""

        def answers() -> list[float]:
            return [
                item.answered
                for item in self.ledger.tries
                if item.answer == "accepted" and item.sent > since
            ]

        return min(await wait_for(answers, timeout)) - since

    def has_ended(self, task_id: str) -> bool:
        rows = self.sql("SELECT unfinished FROM tasks WHERE id = %s", task_id)
        return bool(rows) and rows[0]["unfinished"] is None

    def lines(
        self, what: str, task_id: str | None = None, step: int | None = None
    ) -> list[dict[str, Any]]:
        """What the processes wrote down."""
        return [
            line
            for line in self._reader.lines()
            if line["what"] == what
            and task_id in (None, line["task"])
            and step in (None, line.get("step"))
        ]

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database, past the proxy."""
        connection: Any = pymysql.connect(
            host=HOST,
            port=self.services.mariadb.port,
            user="root",
            database=self.database,
            connect_timeout=5,
            cursorclass=pymysql.cursors.DictCursor,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                rows: list[dict[str, Any]] = list(cursor.fetchall())
            connection.commit()
        finally:
            connection.close()
        return rows

    def redis(self) -> redis.Redis:
        """A client past the proxy."""
        return redis.Redis.from_url(self.services.redis.url, socket_timeout=5.0)

    def queues(self) -> list[dict[str, Any]]:
        """The queues of this test, as the management API tells of them."""
        try:
            found: list[dict[str, Any]] = self.services.rabbitmq.management(
                "GET", f"/api/queues/{self.vhost}"
            )
        except OSError:  # it is being restarted
            return []
        return found

    def census(self) -> dict[int, Census]:
        """What each process holds now that runs, and did at the first census: one that is only
        starting could not be asked."""
        running = [*self.alive, *([self.api] if self.api and self.api.poll() is None else [])]
        asked = [one for one in running if not self.baseline or one.pid in self.baseline]
        return {process.pid: take(self.folder, process.pid) for process in asked}

    @asynccontextmanager
    async def resources(self) -> AsyncIterator[Resources]:
        """Everything opened by the test itself, past the proxies."""
        values: dict[str, Any] = {**self.direct, "data_dir": self.folder / "data"}
        async with open_resources(Settings(**values), kind="test", queues=QUEUES) as resources:
            yield resources

    async def rescue(self, timeout: float = PATIENCE) -> int:
        """What the cron process does each minute: send a barrier, and when it is through bring
        back what is lost. Returns how many tasks that was."""
        async with self.resources() as resources:
            await sweep(resources, QUEUES)
            sent = await resources.barriers.current()
            rescued = 0

            async def through() -> bool:
                nonlocal rescued
                rescued += await sweep(resources, QUEUES)
                current = await resources.barriers.current()
                return current is not None and sent is not None and current.id != sent.id

            await wait_for(through, timeout)
            return rescued

    def client(self) -> Client:
        return Client(self.url)

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        return _log(self.folder, process.pid).read_text()


def _through(url: str, proxy: Proxy) -> str:
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}{HOST}:{proxy.port}"))


def _log(folder: Path, pid: int) -> Path:
    return folder / f"process-{pid}.log"


@contextmanager
def _process(
    module: str, folder: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    fresh = folder / "starting.log"
    with fresh.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    fresh.rename(_log(folder, child.pid))
    try:
        yield child
    finally:
        child.send_signal(signal.SIGCONT)
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@asynccontextmanager
async def stand_on(services: Services, folder: Path, **settings: str) -> AsyncIterator[Stand]:
    """A stand with nothing running in it yet; `settings` are environment variables."""
    vhost, database = uuid4().hex[:12], f"t{uuid4().hex[:12]}"
    services.rabbitmq.management("PUT", f"/api/vhosts/{vhost}", {})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    services.rabbitmq.management("PUT", f"/api/permissions/{vhost}/guest", everything)
    services.mariadb.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
    with redis.Redis.from_url(services.redis.url) as client:
        client.flushall()
    with (
        Proxy(services.rabbitmq.port) as broker,
        Proxy(services.redis.port) as state,
        Proxy(services.mariadb.port) as history,
    ):
        stand = Stand(services, folder, vhost, database, broker, state, history, settings)
        await stand.migrate()
        try:
            yield stand
        finally:
            for proxy in (broker, state, history):
                proxy.heal()
            await stand.ledger.close()
            await asyncio.to_thread(stand.processes.close)
            services.rabbitmq.management("DELETE", f"/api/vhosts/{vhost}")
            services.mariadb.execute(f"DROP DATABASE `{database}`")
