"""What the processes under test write down: whole lines, appended at once, by any number of them.
A line survives the kill -9 of its writer."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

NAME = "handlers.jsonl"


class Lines:
    """One file, opened to append. `at` is the monotonic clock, which all processes share; `wall`
    is the wall clock, to compare with event times."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, **fields: Any) -> None:
        line = {"what": what, "at": time.monotonic(), "wall": time.time(), "pid": os.getpid()}
        os.write(self._file, json.dumps(line | fields).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)


class Reader:
    """Reads what was written, each line once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._offset = 0
        self._lines: list[dict[str, Any]] = []

    def lines(self) -> list[dict[str, Any]]:
        """Everything written so far, in order."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")  # the last may be under way
            self._offset += len(whole) + len(newline)
            self._lines += [json.loads(line) for line in whole.splitlines()]
        return self._lines
