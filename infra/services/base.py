"""A local service as a child process: start, wait until it really answers, stop, kill, freeze."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from stepline.errors import SteplineError

HOST = "127.0.0.1"
SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin")
LOOK_EVERY = 0.05
STOP_TIMEOUT = 20.0


class ServiceMissing(SteplineError):
    """A program that the service needs is not installed; the message names the package."""

    code = "service_missing"


class ServiceFailed(SteplineError):
    """The service did not start, or did not answer; the message ends with its last log lines."""

    code = "service_failed"


def find_program(name: str, package: str) -> str:
    """The program's path, from PATH and the usual places beside it. Raises `ServiceMissing`."""
    search = os.pathsep.join([os.environ.get("PATH", ""), *SBIN])
    found = shutil.which(name, path=search)
    if found is None:
        raise ServiceMissing(f"{name} is not installed: `apt-get install {package}`")
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


class Service(ABC):
    """One service with its data under `folder`. Starting again finds the same ports and data."""

    name: str
    package: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it answers, as the setting wants it."""

    @abstractmethod
    def version(self) -> str:
        """The program's version."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make files and folders that the first start needs."""

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _answers(self) -> bool:
        """Speak to it: does it answer as a ready one does?"""

    def _environment(self) -> Mapping[str, str]:
        return {}

    @property
    def log_file(self) -> Path:
        return self.folder / f"{self.name.lower()}.log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServiceFailed(f"{self.name} was not started")
        return self._process.pid

    def start(self, timeout: float = 60.0) -> None:
        """Start, and return when it answers. Raises `ServiceMissing` or `ServiceFailed`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prepare()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self._command(),
                env=os.environ | dict(self._environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for us; and the whole group can be ended
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if not self.running:
                raise ServiceFailed(f"{self.name} ended while starting:\n{self._last_lines()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServiceFailed(
                    f"{self.name} did not answer within {timeout:g} s:\n{self._last_lines()}"
                )
            time.sleep(LOOK_EVERY)

    def stop(self) -> None:
        """End it gracefully; by force if that takes too long. Data stays."""
        if self._process is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
        self._after_stop()

    def kill(self) -> None:
        """kill -9 of the whole group."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT)
            self._after_stop()

    def pause(self) -> None:
        """Freeze it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _after_stop(self) -> None:  # noqa: B027
        """What else must end with it: nothing, for most."""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _last_lines(self, count: int = 15) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-count:])


def output_of(*command: str) -> str:
    """What a program prints, whole."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout + done.stderr
