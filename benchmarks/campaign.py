"""The whole run: who is measured when, so that all alternate, and going on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from stepline.errors import SteplineError

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.deployment import ContenderFailed, deployed
from benchmarks.environments import python_of
from benchmarks.growth import measure_growth, variants
from benchmarks.measure import measure, sustained
from benchmarks.scenarios import (
    BACKLOG,
    BURST,
    GROWTH,
    HTTP,
    IN_ROUNDS,
    PEERS_BACKLOG,
    SUSTAINED,
    Scenario,
)
from benchmarks.stand import Stand, services
from benchmarks.stats import Spread, digits
from benchmarks.store import Sample, Store, commit, now

UNKNOWN_RATE = 1_000.0
"""Offered at most where no burst has been measured."""


class OutOfTime(SteplineError):
    """The minutes are over; what is missing is measured by a later run."""

    code = "out_of_time"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure."""

    scenarios: Sequence[Scenario]
    contenders: Sequence[Contender]
    runs: int
    quick: bool

    def rounds(self, scenario: Scenario) -> int:
        return min(self.runs, scenario.rounds or self.runs)

    def cells(self) -> Iterator[tuple[Scenario, Contender, str, int]]:
        """Every sample that a complete run has."""
        for scenario in self.scenarios:
            for contender in self.contenders:
                if scenario not in contender.scenarios:
                    continue
                names = variants(quick=self.quick) if scenario is GROWTH else ("",)
                for variant in names:
                    for number in range(1, self.rounds(scenario) + 1):
                        yield scenario, contender, variant, number


@dataclass
class Campaign:
    """Measures what is wanted and not in the store yet."""

    wanted: Wanted
    store: Store
    folder: Path
    console: Console
    minutes: float | None = None
    _began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Raises `OutOfTime` when the minutes are over."""
        self.store.forget_failures()
        missing = [cell for cell in self.wanted.cells() if not self._has(*cell)]
        if not missing:
            self.console.print("everything is measured already; --fresh measures again")
            return
        self.console.print(f"{len(missing)} measurements to take")
        for contender in self.wanted.contenders:
            python_of(contender, self.folder / "environments")
        with services() as stand, self._progress() as self._bar:
            self._task = self._bar.add_task("", total=len(missing))
            self.store.versions["services"] = stand.versions()
            for number in range(1, self.wanted.runs + 1):
                for contender in self._order(number):
                    self._session(stand, contender, number)
            self._backlogs(stand)
            self._growth(stand)
            self._sustained(stand)

    def _has(self, scenario: Scenario, contender: Contender, variant: str, number: int) -> bool:
        return self.store.has(scenario.letter, contender.name, variant, number)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description:<60}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )

    def _order(self, number: int) -> Sequence[Contender]:
        """Each round begins with another one."""
        all_of_them = self.wanted.contenders
        start = (number - 1) % len(all_of_them)
        return [*all_of_them[start:], *all_of_them[:start]]

    def _session(self, stand: Stand, contender: Contender, number: int) -> None:
        """Everything of one round that one contender's processes can serve."""
        todo = [
            scenario
            for scenario in IN_ROUNDS
            if scenario in self.wanted.scenarios
            and scenario in contender.scenarios
            and number <= self.wanted.rounds(scenario)
            and not self._has(scenario, contender, "", number)
        ]
        for setup in dict.fromkeys(contender.setup_for(scenario) for scenario in todo):
            here = [scenario for scenario in todo if contender.setup_for(scenario) == setup]
            self._check_time()
            self._tell(contender, here[0], number)
            try:
                with deployed(
                    contender, setup, stand, self.folder, front=HTTP in here
                ) as deployment:
                    self.store.versions[contender.name] = dict(deployment.versions())
                    for scenario in here:
                        self._tell(contender, scenario, number)
                        count = scenario.size(quick=self.wanted.quick)
                        self._keep(measure(deployment, scenario, count, number))
            except ContenderFailed as error:
                self._keep_failure(here, contender, number, error)

    def _keep_failure(
        self, scenarios: Sequence[Scenario], contender: Contender, number: int, error: SteplineError
    ) -> None:
        """The scenario that failed; those after it are tried again by a later run."""
        for scenario in scenarios:
            if not self._has(scenario, contender, "", number):
                self._keep(self._failure(scenario, contender, number, error))
                return

    def _failure(
        self, scenario: Scenario, contender: Contender, number: int, error: SteplineError
    ) -> Sample:
        text = str(error)[:500]
        return Sample(
            scenario.letter, contender.name, number, 1, error=text, commit=commit(), at=now()
        )

    def _backlogs(self, stand: Stand) -> None:
        for contender in self._missing(BACKLOG):
            count = BACKLOG.size(quick=self.wanted.quick)
            if contender.own_environment:
                count = min(count, PEERS_BACKLOG)
            setup = contender.setup_for(BACKLOG)

            def drain(
                contender: Contender = contender, setup: str = setup, count: int = count
            ) -> Sample:
                with deployed(contender, setup, stand, self.folder, workers=0) as deployment:
                    return measure(deployment, BACKLOG, count, 1)

            self._alone(contender, BACKLOG, drain)

    def _sustained(self, stand: Stand) -> None:
        for contender in self._missing(SUSTAINED):

            def hold(contender: Contender = contender) -> Sample:
                rows = [s.values["recorded"] for s in self.store.of("a", contender.name)]
                rate = Spread.of(rows).median if rows else UNKNOWN_RATE
                setup = contender.setup_for(BURST)
                with deployed(contender, setup, stand, self.folder) as deployment:
                    values, usage, count = sustained(deployment, rate, self.console.print)
                return Sample(
                    SUSTAINED.letter,
                    contender.name,
                    1,
                    count,
                    values,
                    usage.cpu,
                    usage.memory,
                    foreign=usage.foreign,
                    commit=commit(),
                    at=now(),
                )

            self._alone(contender, SUSTAINED, hold)

    def _alone(self, contender: Contender, scenario: Scenario, take: Callable[[], Sample]) -> None:
        self._check_time()
        self._tell(contender, scenario, 1)
        try:
            self._keep(take())
        except ContenderFailed as error:
            self._keep(self._failure(scenario, contender, 1, error))

    def _missing(self, scenario: Scenario) -> list[Contender]:
        return [
            contender
            for contender in self.wanted.contenders
            if scenario in self.wanted.scenarios
            and scenario in contender.scenarios
            and not self._has(scenario, contender, "", 1)
        ]

    def _growth(self, stand: Stand) -> None:
        missing = {
            (variant, number)
            for scenario, contender, variant, number in self.wanted.cells()
            if scenario is GROWTH and not self._has(scenario, contender, variant, number)
        }
        for contender in self.wanted.contenders:
            if missing and GROWTH in contender.scenarios:
                measure_growth(
                    contender,
                    stand,
                    self.folder,
                    missing,
                    GROWTH.size(quick=self.wanted.quick),
                    keep=self._keep,
                    before=self._before_growth,
                )

    def _before_growth(self, what: str) -> None:
        self._check_time()
        self._bar.update(self._task, description=f"(i) {what}")

    def _check_time(self) -> None:
        if self.minutes is not None and time.monotonic() - self._began > 60 * self.minutes:
            raise OutOfTime("the minutes are over; the same command goes on where this one stopped")

    def _tell(self, contender: Contender, scenario: Scenario, number: int) -> None:
        text = f"round {number} · {contender.title} · ({scenario.letter}) {scenario.title}"
        self._bar.update(self._task, description=text)

    def _keep(self, sample: Sample) -> None:
        self.store.add(sample)
        self._bar.advance(self._task)
        figures = sample.error.splitlines()[:1] or [
            f"{name} {digits(value)}" for name, value in sample.values.items()
        ]
        label = " ".join(filter(None, [f"({sample.scenario})", sample.contender, sample.variant]))
        self.console.print(f"{label}: {', '.join(figures)}", style="red" if sample.error else "")


def chosen(names: str | None) -> list[Contender]:
    """By comma; all, if none is named. Raises `SteplineError` for an unknown one."""
    if not names:
        return list(CONTENDERS)
    wanted = [name.strip() for name in names.split(",")]
    known = {contender.name for contender in CONTENDERS}
    if unknown := [name for name in wanted if name not in known]:
        raise SteplineError(f"no contender {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return [contender for contender in CONTENDERS if contender.name in wanted]
