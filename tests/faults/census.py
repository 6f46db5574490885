"""How much a process holds, seen from outside: open files, memory, and (asked by SIGUSR1, since
only the process itself can know) asyncio tasks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Census:
    """Of one process at one moment."""

    files: int
    megabytes: float
    tasks: int

    def __str__(self) -> str:
        return f"{self.files} files, {self.megabytes:.0f} MB, {self.tasks} asyncio tasks"


def _answer(folder: Path) -> Path:
    return folder / "tasks"


def count_on_signal(folder: Path) -> None:
    """In the process under test: write the number of asyncio tasks when asked."""

    def tell(*_: object) -> None:
        count = len(asyncio.all_tasks())
        path = _answer(folder).with_suffix(f".{os.getpid()}")
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(str(count))
        fresh.replace(path)

    signal.signal(signal.SIGUSR1, tell)


def take(folder: Path, pid: int, timeout: float = 30.0) -> Census:
    """Count now."""
    path = _answer(folder).with_suffix(f".{pid}")
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + timeout
    while not path.exists():
        if time.monotonic() > deadline:
            raise AssertionError(f"process {pid} does not answer SIGUSR1")
        time.sleep(0.01)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return Census(files, pages * PAGE / 2**20, int(path.read_text()))
