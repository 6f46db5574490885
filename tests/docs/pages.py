"""Reading the documentation as a script: what its pages write, run and expect.

- A block with a title is a file: it is written, relative to the page's folder.
- `console`: each `$ ` line is a command (`> ` goes on with it). What follows up to the next must be
  what it prints; `…` stands for anything. Without any, it only has to succeed.
- `python` without a title runs as it stands, top-level `await` included, after the page's others.
- `text` is not run; whatever else has no title has to be well-formed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?")
ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title if any, its text, and the line it begins at."""

    language: str
    title: str | None
    text: str
    line: int


@dataclass
class Command:
    """A command of a console block, and the lines that it shall print."""

    text: str
    expected: list[str] = field(default_factory=list)


def blocks(page: Path) -> Iterator[Block]:
    opening: re.Match[str] | None = None
    start, lines = 0, []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if opening is None:
            if line.startswith("```"):
                opening = FENCE.fullmatch(line)
                assert opening is not None, f"{page.name}:{number}: a block without a language"
                start, lines = number, []
        elif line == "```":
            text = "\n".join(lines) + "\n"
            yield Block(opening["language"], opening["title"], text, start)
            opening = None
        else:
            lines.append(line)
    assert opening is None, f"{page.name}:{start}: the block does not end"


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        elif line.startswith("> ") and found and not found[-1].expected:
            found[-1].text += "\n" + line[2:].lstrip()
        else:
            assert found, f"line {block.line}: output before any command"
            found[-1].expected.append(line)
    return found


def matches(expected: list[str], printed: str) -> bool:
    """Is what was printed what the page says? `…` stands for anything, line ends included."""
    pattern = re.escape("\n".join(expected).strip()).replace(ANYTHING, ".*")
    return not expected or (
        re.fullmatch(pattern, printed.replace("\r", "").strip(), re.DOTALL) is not None
    )
