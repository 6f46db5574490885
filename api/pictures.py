"""`./task pictures`: the terminal pictures of the documentation, from a run of the real command.

Each picture is what a terminal shows: the command runs on a pseudo-terminal against an embedded
service, and what it wrote is drawn as SVG, by rich, without fonts from elsewhere.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from api.embedded import serving
from infra.leaving import leave
from infra.logging import configure_logging
from infra.settings import load_settings

IMAGES = Path("docs/images")
COLUMNS = 100
TIMEOUT = 60.0

ORDER = {
    "request_type": "data_transformation",
    "data": {
        "payload": {"first_name": "  ada ", "last_name": "lovelace", "email": "ADA@Example.org"},
        "required_fields": ["email"],
        "transformations": {"first_name": ["strip", "title_case"], "email": "normalize_email"},
        "export_format": "csv",
        "notification_type": "log",
        "recipients": ["ops"],
    },
}
PIECE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r\n|\n|\r|[^\x1b\r\n]+")
FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shot:
    """A command in a picture: taken when it has ended, or has written `until`; `lines` of it."""

    command: str
    until: str = ""
    lines: int = 100


PICTURES = {
    "chain": [Shot("stepline chain order.json --watch", lines=15)],
    "live": [
        Shot(
            "stepline submit long --duration 8 --task-name 'nightly import' --watch",
            "second 3 of 8",
        )
    ],
    "tasks": [
        Shot("stepline list --limit 5"),
        Shot("stepline submit batch --user-ids 101,102,999 --watch", lines=6),
        Shot("stepline health"),
    ],
}


def photograph(shot: Shot, url: str, folder: Path) -> list[str]:
    """The lines of the terminal, with their colours."""
    ours, theirs = pty.openpty()
    name, *arguments = shlex.split(shot.command)
    process = subprocess.Popen(  # noqa: S603 - the commands above
        [Path(sys.executable).with_name(name), *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "STEPLINE_URL": url,
            "TERM": "xterm-256color",
            "COLUMNS": str(COLUMNS),
            "COLORTERM": "truecolor",
        },
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    deadline, written = time.monotonic() + TIMEOUT, b""
    while time.monotonic() < deadline and not (shot.until and shot.until.encode() in written):
        try:
            written += os.read(ours, 65_536)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:  # the command has ended
            break
    process.kill()
    process.wait()
    os.close(ours)
    return screen(written.decode(errors="ignore"))


def screen(written: str) -> list[str]:
    """What a terminal shows of it: lines that are written anew replace themselves."""
    lines, row = [""], 0
    for piece in PIECE.findall(written):
        if piece in ("\n", "\r\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece.startswith("\x1b[") and piece.endswith("A"):
            row = max(0, row - int(piece[2:-1] or 1))
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif piece.startswith("\x1b[") and not piece.endswith("m"):
            continue  # shows or hides the cursor
        elif piece != "\r":
            lines[row] += piece
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def draw(name: str, shots: list[tuple[Shot, list[str]]]) -> None:
    """Write one picture."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    for shot, lines in shots:
        console.print(Text.assemble(("$ ", "bold green"), (shot.command, "bold")))
        for line in lines[: shot.lines]:
            console.print(Text.from_ansi(line), soft_wrap=True, highlight=False)
        if len(lines) > shot.lines:
            console.print(Text("…", style="dim"))
        console.print()
    svg = console.export_svg(title="stepline", unique_id=f"stepline-{name}")
    (IMAGES / f"{name}.svg").write_text(FONTS.sub("", svg))


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="stepline-pictures-"))
    IMAGES.mkdir(parents=True, exist_ok=True)
    (folder / "order.json").write_text(json.dumps(ORDER))
    try:
        asyncio.run(take(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def take(folder: Path) -> None:
    """All pictures, against a service whose data lies in `folder`."""
    settings = load_settings(
        broker_url="memory://",
        redis_url="fake://",
        database_url="",
        smtp_url="",
        exports_url="",
        data_dir=folder,
        api_host="127.0.0.1",
        api_port=0,
        api_url="",
        env="development",
        worker_queues="",
        log_level="error",
    )
    configure_logging(settings)
    async with serving(settings) as stack:
        url = stack.settings.resolved_api_url
        for name, shots in PICTURES.items():
            draw(
                name,
                [(shot, await asyncio.to_thread(photograph, shot, url, folder)) for shot in shots],
            )


if __name__ == "__main__":
    leave(main())
