"""Processes that are measured: started, asked what they have used, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.services.base import Service
from infra.services.mariadb import MariaDB
from infra.services.ports import HOST
from infra.services.rabbitmq import RabbitMQ
from infra.services.redis import Redis

ROOT = Path(__file__).parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
READY_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Services:
    """Private ones, for the time of the measurement."""

    redis: Redis
    rabbitmq: RabbitMQ
    mariadb: MariaDB

    def environment(self) -> dict[str, str]:
        return {
            "STEPLINE_REDIS_URL": self.redis.url,
            "STEPLINE_BROKER_URL": self.rabbitmq.url,
            "STEPLINE_DATABASE_URL": self.mariadb.url,
        }


@contextmanager
def running_services() -> Iterator[Services]:
    # a short path: sockets lie in it
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        services = Services(
            Redis(folder / "redis", extra=("--maxclients", "30000")),
            RabbitMQ(folder / "rabbitmq"),
            MariaDB(folder / "mariadb"),
        )
        every: tuple[Service, ...] = (services.redis, services.rabbitmq, services.mariadb)
        with ExitStack() as stack:
            for service in every:
                stack.callback(service.stop)
            with ThreadPoolExecutor(len(every)) as pool:
                list(pool.map(lambda service: service.start(), every))
            yield services


class Server:
    """An HTTP server as a process."""

    def __init__(self, command: list[str], environment: Mapping[str, str], port: int) -> None:
        self._command = command
        self._environment = dict(environment)
        self.port = port
        self._log = Path(tempfile.mkstemp(prefix="sse-", suffix=".log")[1])
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        self._child = self._spawn()
        async with asyncio.timeout(READY_TIMEOUT):
            while not await self._ready():
                if self._child.poll() is not None:
                    raise RuntimeError(f"{self._command} ended:\n{self._log.read_text()[-3000:]}")
                await asyncio.sleep(0.05)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=ROOT,
                env=os.environ | self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    async def _ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(HOST, self.port)
            writer.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status = await reader.readline()
            writer.close()
        except OSError:
            return False
        return b" 200 " in status

    async def stop(self) -> None:
        child = self._child
        if child is not None and child.poll() is None:
            child.send_signal(signal.SIGTERM)
            await asyncio.to_thread(child.wait)

    def kill(self) -> None:
        """At the end, whatever happened."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        self._log.unlink(missing_ok=True)


def resident_kb(pid: int) -> int:
    """Memory that the process has in RAM, KB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def cpu_seconds(pid: int) -> float:
    """CPU time that the process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
