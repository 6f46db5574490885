"""Child processes by their role, and what they cost: CPU seconds and memory, from /proc.

Each child leads a session of its own, so that whatever it starts is counted with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.services.guard import Guard

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
LOOK_EVERY = 0.25
STOP_TIMEOUT = 15.0

Sessions = Mapping[int, str]
"""The role of each session, by its leader's pid."""


class Child:
    """A child in a session of its own, which ends when we do, however that is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self._guard = Guard(process.pid)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """SIGTERM to the leader, then kill -9 to what is left of the session."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
        for pid, session, _ in processes():
            if session == self.pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(STOP_TIMEOUT)
        self._guard.dismiss()


def start(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path, **pipes: Any
) -> Child:
    """Start one, its errors (and output, unless piped) in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as errors:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=cwd,
            stdin=pipes.get("stdin", subprocess.DEVNULL),
            stdout=pipes.get("stdout", errors),
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    return Child(process)


def processes() -> Iterator[tuple[int, int, float]]:
    """(pid, session, CPU seconds) of every process; those of reaped children are their parent's."""
    for folder in PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            stat = (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = stat.rpartition(")")[2].split()
        yield int(folder.name), int(fields[3]), sum(map(int, fields[11:15])) / TICKS


def cpu_seconds(sessions: Sessions) -> dict[str, float]:
    """CPU seconds that each role has used since it started."""
    used = dict.fromkeys(sessions.values(), 0.0)
    for _, session, seconds in processes():
        if session in sessions:
            used[sessions[session]] += seconds
    return used


def memory_mb(sessions: Sessions) -> dict[str, float]:
    """Proportional set size of each role now: pages that processes share are counted once."""
    used = dict.fromkeys(sessions.values(), 0.0)
    for pid, session, _ in processes():
        if session in sessions:
            used[sessions[session]] += pss(pid)
    return used


def pss(pid: int) -> float:
    """Megabytes; 0 for a process that has ended."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@dataclass
class Usage:
    """What was used while a `metered` block ran."""

    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds by role."""
    memory: dict[str, float] = field(default_factory=dict)
    """Peak of each role, in MB, and of all together at one moment: `all`."""
    busy: float = 0.0
    """CPU seconds of the whole machine, by whomever."""
    available: float = 0.0
    """CPU seconds that its cores had."""

    @property
    def foreign(self) -> float:
        """The share of the machine that others used meanwhile, from 0 to 1: these are not alone."""
        others = self.busy - sum(self.cpu.values())
        return round(max(0.0, others / self.available), 3) if self.available else 0.0

    def see(self, now: Mapping[str, float]) -> None:
        for role, megabytes in {**now, "all": sum(now.values())}.items():
            self.memory[role] = max(self.memory.get(role, 0.0), round(megabytes, 1))


def busy_seconds() -> float:
    """CPU seconds that the machine has worked since it started, waiting not counted."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, (PROC / "stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS


@contextmanager
def metered(sessions: Sessions) -> Iterator[Usage]:
    """Measure the roles while the block runs."""
    usage, over = Usage(), threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_EVERY):
            usage.see(memory_mb(sessions))

    watcher = threading.Thread(target=watch, daemon=True)
    began, busy = time.monotonic(), busy_seconds()
    before = cpu_seconds(sessions)
    watcher.start()
    try:
        yield usage
    finally:
        after = cpu_seconds(sessions)
        usage.busy = busy_seconds() - busy
        usage.available = (time.monotonic() - began) * (os.cpu_count() or 1)
        over.set()
        watcher.join()
        usage.see(memory_mb(sessions))
        usage.cpu = {role: round(after[role] - before[role], 3) for role in after}
