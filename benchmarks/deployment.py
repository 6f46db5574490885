"""One contender, running: its workers, its HTTP front, and the driver that submits."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stepline.errors import SteplineError

from benchmarks.contenders import Contender
from benchmarks.environments import PEERS, ROOT, python_of
from benchmarks.processes import Child, start
from benchmarks.stand import Place, Stand
from infra.services.ports import HOST, free_port

BOOT_TIMEOUT = 60.0
COMMAND_TIMEOUT = 900.0
LOOK_EVERY = 0.05
STEPLINE = "stepline_peer"
STEPLINE_CONCURRENCY = 500

Answer = dict[str, Any]


class ContenderFailed(SteplineError):
    """A contender did not start, answered with an error, or did not answer in time."""

    code = "contender_failed"


class Deployment:
    """Started piece by piece, and stopped as a whole."""

    def __init__(
        self, contender: Contender, setup: str, stand: Stand, place: Place, folder: Path
    ) -> None:
        self.contender = contender
        self.place = place
        self.sessions = dict(stand.sessions)
        self._setup = setup
        self._python = python_of(contender, folder / "environments")
        self._log = folder / "logs" / f"{contender.name}.log"
        self._work = folder / "work"
        self._running: list[Child] = []
        self._driver: Child | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self.api_url = ""
        self._environment = self._environment_for(place)

    @property
    def is_stepline(self) -> bool:
        return self.contender.module == STEPLINE

    def _environment_for(self, place: Place) -> dict[str, str]:
        self._work.mkdir(parents=True, exist_ok=True)
        counter = self._work / f"{place.database}.counter"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("STEPLINE_")}
        return {
            **kept,
            "PYTHONPATH": f"{PEERS}{os.pathsep}{ROOT}" if self.is_stepline else str(PEERS),
            "BENCH_AMQP_URL": place.broker_url,
            "BENCH_REDIS_URL": place.redis_url,
            "BENCH_MYSQL_PORT": str(place.mysql_port),
            "BENCH_MYSQL_DATABASE": place.database,
            "BENCH_COUNTER": str(counter),
            "STEPLINE_BROKER_URL": place.broker_url,
            "STEPLINE_REDIS_URL": place.redis_url,
            "STEPLINE_DATABASE_URL": place.database_url,
            "STEPLINE_DATA_DIR": str(self._work / "data"),
            "STEPLINE_LOG_LEVEL": "warning",
            "STEPLINE_METRICS_PORT": "0",
            "STEPLINE_WORKER_CONCURRENCY": str(STEPLINE_CONCURRENCY),
            **self.contender.environment,
        }

    def start_worker(self) -> None:
        self._start("worker", "run.py", self.contender.module, "worker", self._setup)

    def start_front(self) -> None:
        """The HTTP face: Stepline's API, or a small one before the peer. Waits until it answers."""
        port = free_port()
        self.api_url = self._environment["BENCH_API_URL"] = f"http://{HOST}:{port}"
        self._environment["STEPLINE_API_PORT"] = str(port)
        if self.is_stepline:
            process = self._start("api", "stepline_types.py", "api")
        else:
            process = self._start("api", "front.py", self.contender.module, str(port))
        deadline = time.monotonic() + BOOT_TIMEOUT
        while not _answers(self.api_url):
            if not process.running or time.monotonic() > deadline:
                raise ContenderFailed(f"{self.contender.title}: no HTTP\n{self._last_lines()}")
            time.sleep(LOOK_EVERY)

    def start_driver(self) -> None:
        command = [self._python, str(PEERS / "run.py"), self.contender.module, "driver"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._driver = start(command, self._environment, PEERS, self._log, **pipes)
        self._running.append(self._driver)
        self.sessions[self._driver.pid] = "driver"
        threading.Thread(target=self._read, args=(self._driver,), daemon=True).start()

    def _start(self, role: str, script: str, *arguments: str) -> Child:
        command = [self._python, str(PEERS / script), *arguments]
        process = start(command, self._environment, PEERS, self._log)
        self._running.append(process)
        self.sessions[process.pid] = role
        return process

    def _read(self, driver: Child) -> None:
        for line in driver.process.stdout or ():
            self._lines.put(line)
        self._lines.put("")

    def ask(self, do: str, timeout: float = COMMAND_TIMEOUT, **more: Any) -> Answer:
        """One command to the driver, and its answer. Raises `ContenderFailed`."""
        if self._driver is None or self._driver.process.stdin is None:
            raise ContenderFailed(f"{self.contender.title}: no driver")
        self._driver.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._driver.process.stdin.flush()
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            line = ""
        if not line:
            raise ContenderFailed(f"{self.contender.title}: no answer\n{self._last_lines()}")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise ContenderFailed(f"{self.contender.title}: {answer['error']}")
        return answer

    def versions(self) -> Mapping[str, str]:
        if self.contender.is_bare:
            return {name: version(name) for name in self.contender.packages}
        return self.ask("versions", packages=list(self.contender.packages))

    def close(self) -> None:
        """Stop all of it, the driver first."""
        if self._driver is not None and self._driver.process.stdin is not None:
            with suppress(BrokenPipeError):
                self._driver.process.stdin.close()
        for child in reversed(self._running):
            child.stop()
        for counter in self._work.glob("*.counter"):
            counter.unlink()

    def _last_lines(self, count: int = 15) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-count:])


def _answers(url: str) -> bool:
    """Does anything speak HTTP there, whatever it says?"""
    try:
        urllib.request.urlopen(f"{url}/health/live", timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def deployed(
    contender: Contender,
    setup: str,
    stand: Stand,
    folder: Path,
    *,
    workers: int = 1,
    front: bool = False,
) -> Iterator[Deployment]:
    """A contender on a clean place, ready: with workers, one task has come back."""
    with stand.place(tables=contender.module == STEPLINE) as place:
        deployment = Deployment(contender, setup, stand, place, folder)
        try:
            if front or deployment.is_stepline:
                deployment.start_front()
            if not contender.is_bare:
                for _ in range(workers):
                    deployment.start_worker()
                deployment.start_driver()
                if workers:
                    deployment.ask("ready", timeout=BOOT_TIMEOUT)
            yield deployment
        finally:
            deployment.close()


def run_load(url: str, count: int, connections: int) -> Answer:
    """The HTTP load, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.load", url, str(count), str(connections)]
        done = subprocess.run(
            [*command, str(written)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ContenderFailed(f"the load on {url} failed:\n{done.stderr[-2000:]}")
        answer: Answer = json.loads(written.read_text())
    return answer
