"""The measurements, in a JSON file that a later run goes on with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stepline.errors import SteplineError

ROOT = Path(__file__).parents[1]


class OtherMachine(SteplineError):
    """The file has another machine's measurements: they cannot be added to."""

    code = "other_machine"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    scenario: str
    contender: str
    round: int
    count: int
    """Tasks."""
    values: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds, by role."""
    memory: dict[str, float] = field(default_factory=dict)
    """Peak MB, by role, and `all`."""
    variant: str = ""
    """What differs from the scenario's other samples, as `rows=1000`."""
    foreign: float = 0.0
    """The share of the machine that other processes used meanwhile."""
    error: str = ""
    commit: str = ""
    at: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.scenario, self.contender, self.variant, self.round

    @property
    def cpu_per_task(self) -> float:
        """Milliseconds, of the whole system."""
        return 1000 * sum(self.cpu.values()) / self.count


@dataclass
class Store:
    """All samples of a run, and where they were taken."""

    path: Path
    machine: dict[str, Any]
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, *, only_read: bool = False) -> Store:
        """Raises `OtherMachine` if it was written elsewhere and is to be added to."""
        if not path.exists():
            return cls(path, describe_machine())
        found = json.loads(path.read_text())
        if not only_read and found["machine"] != describe_machine():
            raise OtherMachine(f"{path} was measured on another machine: move it away, or --fresh")
        samples = [Sample(**sample) for sample in found["samples"]]
        return cls(path, found["machine"], found["versions"], samples)

    def save(self) -> None:
        """Write the whole file, and replace the old one at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(self.as_json())
        fresh.rename(self.path)

    def as_json(self) -> str:
        """One sample a line."""
        lines = ",\n".join("  " + json.dumps(asdict(sample)) for sample in self.samples)
        machine, versions = json.dumps(self.machine), json.dumps(self.versions)
        return f'{{"machine": {machine},\n "versions": {versions},\n "samples": [\n{lines}\n]}}\n'

    def has(self, scenario: str, contender: str, variant: str, round_number: int) -> bool:
        return any(
            sample.key == (scenario, contender, variant, round_number) for sample in self.samples
        )

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        self.save()

    def forget(self, scenarios: set[str], contenders: set[str]) -> None:
        """Drop what is to be measured afresh."""
        self.samples = [
            sample
            for sample in self.samples
            if not (sample.scenario in scenarios and sample.contender in contenders)
        ]

    def forget_failures(self) -> None:
        """So that a later run tries again."""
        self.samples = [sample for sample in self.samples if not sample.error]

    def of(self, scenario: str, contender: str, variant: str = "") -> list[Sample]:
        """The good samples of one cell."""
        return [
            sample
            for sample in self.samples
            if (sample.scenario, sample.contender, sample.variant) == (scenario, contender, variant)
            and not sample.error
        ]

    def errors(self) -> Iterator[Sample]:
        return (sample for sample in self.samples if sample.error)

    @property
    def commits(self) -> list[str]:
        return sorted({sample.commit for sample in self.samples})


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


MEASURED = ("api", "benchmarks", "handlers", "infra", "sdk", "workers", "uv.lock")


def commit() -> str:
    """The checkout's commit, with a `+` if what is measured differs from it."""
    head = _git("rev-parse", "--short", "HEAD").stdout.strip() or "unknown"
    changed = _git("diff", "--quiet", "HEAD", "--", *MEASURED).returncode
    return f"{head}+" if changed else head


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def describe_machine() -> dict[str, Any]:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30),
        "kernel": platform.release().partition("-")[0],
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "python": platform.python_version(),
    }
