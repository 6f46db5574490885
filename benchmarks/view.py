"""The measurements as rows: for the terminal, the page and the plots alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.scenarios import (
    BACKLOG,
    BULK,
    BURST,
    CHAIN,
    GROWTH,
    HTTP,
    IO,
    LARGE,
    LATENCY,
    SUSTAINED,
    Scenario,
)
from benchmarks.stats import Spread, digits
from benchmarks.store import Sample, Store


@dataclass(frozen=True, slots=True)
class Figure:
    """A column: one of a sample's values."""

    key: str
    heading: str


FINISHED = Figure("finished", "finished/s")
SUBMITTED = Figure("submitted", "submitted/s")
RECORDED = Figure("recorded", "rows in history/s")
DRAINED_AFTER = Figure("drained_after", "history complete after, s")

FIGURES: dict[Scenario, Sequence[Figure]] = {
    BURST: (
        FINISHED,
        SUBMITTED,
        RECORDED,
        Figure("behind", "rows behind at the end"),
        DRAINED_AFTER,
    ),
    LATENCY: (
        Figure("result_p50", "result p50, ms"),
        Figure("result_p99", "p99"),
        Figure("event_p50", "terminal event p50, ms"),
        Figure("event_p99", "p99"),
        Figure("consumed_p50", "consumed p50, ms"),
    ),
    CHAIN: (FINISHED, SUBMITTED, RECORDED),
    IO: (FINISHED, SUBMITTED, RECORDED),
    HTTP: (
        Figure("accepted", "accepted/s"),
        FINISHED,
        Figure("p50", "answer p50, ms"),
        Figure("p99", "p99"),
        RECORDED,
    ),
    BULK: (SUBMITTED, FINISHED, RECORDED),
    LARGE: (FINISHED, SUBMITTED, RECORDED),
    BACKLOG: (
        Figure("drained", "drained/s"),
        Figure("second_half", "of its second half"),
        Figure("filled", "filled/s"),
        RECORDED,
        DRAINED_AFTER,
    ),
    SUSTAINED: (
        Figure("held", "tasks/s"),
        Figure("lag", "behind, s"),
        DRAINED_AFTER,
    ),
}
"""The first is what the scenario is about."""

LEAST_IS_BEST = {LATENCY}
PAGE = "page_"
QUIET = 0.1
"""The share of the machine that others may use before a sample is called disturbed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One contender in one scenario."""

    contender: Contender
    cells: Sequence[Spread | None]
    count: int
    """Tasks a sample."""
    cpu: Spread
    """Milliseconds a task, of the whole system."""
    memory: float
    """Peak MB of the whole system."""


def rows(store: Store, scenario: Scenario) -> list[Row]:
    """Best first, the limits among them."""
    found = []
    for contender in CONTENDERS:
        samples = store.of(scenario.letter, contender.name)
        if samples:
            found.append(_row(contender, scenario, samples))
    sign = 1 if scenario in LEAST_IS_BEST else -1
    return sorted(found, key=lambda row: sign * headline(row))


def headline(row: Row) -> float:
    """The median of its first figure."""
    return next((cell.median for cell in row.cells if cell is not None), 0.0)


def _row(contender: Contender, scenario: Scenario, samples: Sequence[Sample]) -> Row:
    return Row(
        contender,
        [spread(samples, figure.key) for figure in FIGURES[scenario]],
        samples[0].count,
        Spread.of([sample.cpu_per_task for sample in samples]),
        max(sample.memory.get("all", 0.0) for sample in samples),
    )


def spread(samples: Sequence[Sample], key: str) -> Spread | None:
    values = [sample.values[key] for sample in samples if key in sample.values]
    return Spread.of(values) if values else None


def losses(store: Store) -> list[str]:
    """Where somebody is ahead of each way to submit to Stepline, in its scenario's first figure."""
    found = []
    for scenario, figures in FIGURES.items():
        ranked = rows(store, scenario)
        ours = next((row for row in ranked if row.contender.is_ours), None)
        if ours is None:
            continue
        ahead = [
            f"{row.contender.title} {digits(headline(row))}"
            for row in ranked[: ranked.index(ours)]
            if not row.contender.is_bare
        ]
        if ahead:
            found.append(
                f"({scenario.letter}) {scenario.title}, {figures[0].heading}: {', '.join(ahead)}; "
                f"{ours.contender.title} {digits(headline(ours))}"
            )
    return found


def busy(store: Store) -> list[Sample]:
    """Samples during which others used the machine too."""
    return [sample for sample in store.samples if sample.foreign > QUIET]


def median(store: Store, scenario: Scenario, contender: str, key: str) -> float | None:
    found = spread(store.of(scenario.letter, contender), key)
    return found.median if found else None


def headings(scenario: Scenario, found: Sequence[Row]) -> list[tuple[int, str]]:
    """(place, heading) of the columns in which anybody has something."""
    return [
        (place, figure.heading)
        for place, figure in enumerate(FIGURES[scenario])
        if any(row.cells[place] is not None for row in found)
    ]


def cell(found: Spread | None) -> str:
    """`median (low to high)`."""
    if found is None:
        return "–"
    if found.count == 1 or found.low == found.high:
        return digits(found.median)
    return f"{digits(found.median)} ({digits(found.low)} to {digits(found.high)})"


def lines(scenario: Scenario, found: Sequence[Row]) -> list[list[str]]:
    """A heading, and a line for each row."""
    columns = headings(scenario, found)
    head = ["", *[heading for _, heading in columns], "CPU ms a task", "peak MB"]
    body = [
        [
            row.contender.title,
            *[cell(row.cells[place]) for place, _ in columns],
            cell(row.cpu),
            digits(row.memory),
        ]
        for row in found
    ]
    return [head, *body]


def growth_lines(store: Store) -> list[list[str]]:
    """A heading, and a line for each number of rows or of workers."""
    found = growth(store)
    pages = list(
        dict.fromkeys(
            key
            for samples in found.values()
            for sample in samples
            for key in sample.values
            if key.startswith(PAGE)
        )
    )
    head = ["", "CPU ms a task", FINISHED.heading]
    head += [f"page `{key.removeprefix(PAGE)}`, ms" for key in pages]
    body = [
        [
            _sized(variant),
            cell(Spread.of([sample.cpu_per_task for sample in samples])),
            cell(spread(samples, "finished")),
            *[cell(spread(samples, key)) for key in pages],
        ]
        for variant, samples in found.items()
    ]
    return [head, *body]


def _sized(variant: str) -> str:
    what, _, number = variant.partition("=")
    return f"{int(number):,} {what}"


def growth(store: Store) -> dict[str, list[Sample]]:
    """The good samples by variant, in order of size."""
    variants = {sample.variant for sample in store.samples if sample.scenario == GROWTH.letter}

    def size(variant: str) -> tuple[str, int]:
        what, _, number = variant.partition("=")
        return what, int(number)

    found = {
        variant: store.of(GROWTH.letter, "stepline", variant)
        for variant in sorted(variants, key=size)
    }
    return {variant: samples for variant, samples in found.items() if samples}
