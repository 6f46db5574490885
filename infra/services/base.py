"""A local service as a child process: start, wait until it really answers, stop, kill, freeze."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stepline.errors import SteplineError

from infra.services.guard import Guard

SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin")
LOOK_EVERY = 0.05
STOP_TIMEOUT = 20.0
GROUP_TIMEOUT = 2.0


class ServiceMissing(SteplineError):
    """A program that the service needs is not installed; the message names the package."""

    code = "service_missing"


class ServiceFailed(SteplineError):
    """The service did not start, or did not answer; the message ends with its last log lines."""

    code = "service_failed"


def look_for(name: str) -> str | None:
    """The program's path, from PATH and the usual places beside it."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))


def find_program(name: str, package: str) -> str:
    """The program's path. Raises `ServiceMissing`."""
    found = look_for(name)
    if found is None:
        raise ServiceMissing(f"{name} is not installed: `apt-get install {package}`")
    return found


class Service(ABC):
    """One service with its data under `folder`. Starting again finds the same ports and data."""

    name: str
    package: str
    """What `apt-get install` wants."""
    programs: Sequence[str]
    """What must be installed."""
    port: int

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @classmethod
    def missing(cls) -> list[str]:
        """Those of its programs that are not installed."""
        return [name for name in cls.programs if look_for(name) is None]

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

    def start(self, timeout: float = 60.0, wanted: Callable[[], bool] = lambda: True) -> None:
        """Start, and return when it answers. When `wanted` says no meanwhile, end it again.

        Raises `ServiceMissing` or `ServiceFailed`; then nothing of it is left running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._own_folder() as lock:
            try:
                self._prepare()
                self._unguard()
                self._process = self._spawn(lock)
                self._guard = Guard(self._process.pid)
                self._wait_until_ready(timeout, wanted)
            except BaseException:
                self.kill()
                raise

    def stop(self) -> None:
        """End it gracefully; by force if that takes too long. Data stays."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """kill -9 of all its processes. Data stays."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT)
            self._wait_for_the_others()
            self._process = None
        self._unguard()
        self._after_stop()

    def pause(self) -> None:
        """Freeze it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _after_stop(self) -> None:  # noqa: B027
        """What else must end with it: nothing, for most."""

    @contextmanager
    def _own_folder(self) -> Iterator[int]:
        """Two processes on the same data would ruin it. The lock is passed on to the service, so
        that it holds for as long as the service lives, even if we do not."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ServiceFailed(
                f"{self.name}: another process uses {self.folder}; is it started elsewhere?"
            ) from None
        try:
            yield lock
        finally:
            os.close(lock)

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                self._command(),
                env=os.environ | dict(self._environment()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C is for us; and the whole group can be ended
            )

    def _unguard(self) -> None:
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def _wait_until_ready(self, timeout: float, wanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + timeout
        while True:
            if not wanted():
                raise ServiceFailed(f"{self.name}: no longer wanted")
            if self._answers():
                return
            if not self.running:
                raise ServiceFailed(f"{self.name} ended while starting:\n{self._last_lines()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"{self.name} did not answer within {timeout:g} s:\n{self._last_lines()}"
                )
            time.sleep(LOOK_EVERY)

    def _wait_for_the_others(self) -> None:
        """The group outlives its leader where that is a script. Not for long: where nobody reaps
        the dead (a container without an init), they stay in it for ever."""
        deadline = time.monotonic() + GROUP_TIMEOUT
        while self._signal(0) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY)

    def _signal(self, number: int) -> bool:
        """Send to all its processes; False if there are none."""
        if self._process is None:
            return False
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _last_lines(self, count: int = 15) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-count:])
