"""A reader who does what a page says, in a folder of its own, with the ports of this test."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from infra.services.ports import free_port
from tests.docs.pages import Block, commands, matches

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or next(iter((ROOT / ".tools").glob("*/bin/uv")), "uv")
STAYS = re.compile(r"\./task (dev|services|api|worker|cron)\b|http\.server")
"""Commands that stay in the foreground, until the reader presses Ctrl-C."""

SHELL = """[ ! -f .variables ] || . ./.variables
{command}
! declare -p ID >.variables 2>/dev/null || true
"""
"""One command in the page's one shell: the variable ID lives from one to the next."""

TASK = f"""#!/bin/sh
# `./task`, for a folder without a checkout: the same commands, and a plugin goes beside this page.
verb=$1; shift; [ "${{1:-}}" = -- ] && shift
cd "$OLDPWD_OF_PAGE"
case $verb in
    dev) cd '{ROOT}' && exec '{sys.executable}' -m api.embedded "$@" ;;
    plugin) exec '{UV}' pip install --quiet --no-deps --target "$PLUGINS" "$@" ;;
    migrate) cd '{ROOT}' && exec '{sys.executable}' -m infra.history "$@" ;;
    api) cd '{ROOT}' && exec '{sys.executable}' -m api "$@" ;;
    worker) cd '{ROOT}' && exec '{sys.executable}' -m workers "$@" ;;
    cron) cd '{ROOT}' && exec '{sys.executable}' -m workers.cron "$@" ;;
    key) cd '{ROOT}' && exec '{sys.executable}' -m api.keys "$@" ;;
    *) echo "no verb $verb here" >&2; exit 2 ;;
esac
"""


class Reader:
    """Follows one page. `url` is a running service, until the page starts one of its own."""

    def __init__(self, folder: Path, url: str, services: Mapping[str, str]) -> None:
        self.folder = folder
        self.ports = {"8000": url.rpartition(":")[2], "9000": str(free_port())}
        self.namespace: dict[str, Any] = {"__name__": "__page__"}
        self.running: list[tuple[str, subprocess.Popen[bytes]]] = []
        usual = {name: value for name, value in os.environ.items() if name != "STEPLINE_HOME"}
        self.services = services
        self.environment = usual | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "plugins"),
            "PLUGINS": str(folder / "plugins"),
            "OLDPWD_OF_PAGE": str(folder),
            "STEPLINE_LOG_LEVEL": "warning",
            "STEPLINE_WORKER_GRACE": "1",
            "STEPLINE_DATA_DIR": str(folder / "data"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **services,
        }
        script = folder / "task"
        script.write_text(TASK)
        script.chmod(0o755)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.ports['8000']}"

    async def follow(self, block: Block) -> None:
        """Do what the block says."""
        text = self._here(block.text)
        if block.title is not None:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif block.language == "console":
            for command in commands(block):
                self._run(self._here(command.text), command.expected, block.line)
        elif block.language == "python":
            code = compile(text, f"<line {block.line}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            waiting = eval(code, self.namespace)
            if inspect.isawaitable(waiting):
                await waiting

    def close(self) -> None:
        for _, process in self.running:
            _stop(process)
        self.running = []

    def _here(self, text: str) -> str:
        """With this test's ports in the place of the usual ones."""
        for usual, port in self.ports.items():
            place = rf"\b(localhost|127\.0\.0\.1|http\.server)([: ]){usual}\b"
            text = re.sub(place, rf"\g<1>\g<2>{port}", text)
        return text

    def _run(self, command: str, expected: list[str], line: int) -> None:
        if STAYS.search(command):
            self._start(command)
            return
        ran = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", SHELL.format(command=command)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        where = f"line {line}: $ {command}\n"
        assert ran.returncode == 0, f"{where}{ran.stdout}{ran.stderr}"
        assert matches(expected, ran.stdout), (
            f"{where}expected {expected}\nbut it printed\n{ran.stdout}"
        )

    def _start(self, command: str) -> None:
        """In a terminal of its own; a second `./task dev` takes the place of the first."""
        if "./task services" in command:
            assert self.services, "a page that starts services gets the test's own"
            return
        if "./task dev" in command:
            for item in [item for item in self.running if "./task dev" in item[0]]:
                _stop(item[1])
                self.running.remove(item)
            self.ports["8000"] = str(free_port())
        environment = self.environment | {"STEPLINE_API_PORT": self.ports["8000"]}
        log = self.folder / f"terminal-{len(self.running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec env {command}"],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.running.append((command, process))
        _wait_for(self._shows(command), process, log)

    def _shows(self, command: str) -> str:
        """What answers when the command is up; of a worker, the health of the whole."""
        if "http.server" in command:
            return f"http://127.0.0.1:{self.ports['9000']}/"
        return self.url + ("/health" if "./task worker" in command else "/health/ready")


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(url, timeout=2).is_success:
                return
        except httpx2.TransportError:
            pass  # not listening yet
        time.sleep(0.05)
    raise AssertionError(f"{url} did not come up:\n{log.read_text()[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def reader(folder: Path, url: str, services: Mapping[str, str] | None = None) -> Iterator[Reader]:
    """A reader whose terminals are closed at the end. `services`: what `./task services` prints."""
    one = Reader(folder, url, services or {})
    try:
        yield one
    finally:
        one.close()
