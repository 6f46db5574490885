"""`python -m tests.faults.report`: the table of docs/reliability.md, from the last run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.results import Row, kept

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = (
    "fault",
    "form",
    "times",
    "promise",
    "checked",
    "accepted",
    "ended",
    "lost",
    "duplicates absorbed",
    "recovery p50",
    "recovery max",
)


def table(rows: Sequence[Row]) -> str:
    """Markdown; recovery in seconds."""
    lines = [_line(HEAD), _line(["---"] * 5 + ["---:"] * 6)]
    lines += [
        _line(
            [
                row.fault,
                "long" if row.long else "short",
                str(row.repeated),
                row.promise,
                row.invariants,
                f"{row.accepted:,}",
                f"{row.ended:,}",
                str(row.lost),
                f"{row.absorbed:,}",
                _seconds(row.p50),
                _seconds(row.slowest),
            ]
        )
        for row in sorted(rows, key=lambda row: row.fault)
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


def fill(page: str, rows: Sequence[Row]) -> str:
    """The page with its table made anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place between {BEGIN} and {END}")
    note = "Made by the suite; `form` says which form of a test was run last."
    return f"{before}{BEGIN}\n\n{note}\n\n{table(rows)}\n\n{END}{after}"


def main() -> int:
    rows = kept()
    if not rows:
        print("no figures yet: run `./task test:faults` first", file=sys.stderr)
        return 1
    PAGE.write_text(fill(PAGE.read_text(), rows))
    print(f"{PAGE}: {len(rows)} faults")
    return 0


if __name__ == "__main__":
    sys.exit(main())
