"""What the fault tests measured: one row a fault, kept in a file until the report is made."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = Path(__file__).parents[2] / "var" / "faults.json"


@dataclass(slots=True)
class Row:
    """One fault: what is promised under it, what was checked, and what came of it."""

    fault: str
    promise: str
    invariants: str
    accepted: int
    ended: int
    lost: int
    absorbed: int
    recovery: list[float] = field(default_factory=list)
    """Seconds, each from a fault (or from its end) until work went on."""
    repeated: int = 1
    long: bool = False

    @property
    def p50(self) -> float | None:
        return statistics.median(self.recovery) if self.recovery else None

    @property
    def slowest(self) -> float | None:
        return max(self.recovery, default=None)


def keep(row: Row, file: Path = FILE) -> None:
    """Add the row, in the place of an older one of this fault."""
    rows = [item for item in kept(file) if item.fault != row.fault]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(item) for item in [*rows, row]], indent=1))


def kept(file: Path = FILE) -> Sequence[Row]:
    return [Row(**item) for item in json.loads(file.read_text())] if file.exists() else []
