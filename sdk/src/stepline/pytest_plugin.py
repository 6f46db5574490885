"""pytest fixtures for the suites of those who write handlers or call the service.

`stepline_server` is a running embedded service for the whole session: the one at `STEPLINE_URL`, or
one that is started from the checkout at `STEPLINE_HOME` (after `./task setup`, with your package
installed by `./task plugin -- -e PATH`), on a free port, with its data in a temporary folder.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

START_TIMEOUT = 60.0


@dataclass(frozen=True)
class SteplineServer:
    """A running service: its address, and where its log is (None of one that ran already)."""

    url: str
    log: Path | None = None


@pytest.fixture(scope="session")
def stepline_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteplineServer]:
    """A running embedded service, for the whole session."""
    if url := os.environ.get("STEPLINE_URL"):
        yield SteplineServer(url.rstrip("/"))
        return
    home = os.environ.get("STEPLINE_HOME")
    if home is None or not (Path(home) / "api" / "embedded.py").exists():
        pytest.fail(
            "stepline_server: set STEPLINE_URL to a running service, or STEPLINE_HOME to a "
            "checkout of it (set up with `./task setup`)"
        )
    folder = tmp_path_factory.mktemp("stepline")
    log = folder / "server.log"
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if name != "STEPLINE_HOME"}
    environment |= {
        "STEPLINE_API_PORT": str(port),
        "STEPLINE_DATA_DIR": str(folder / "data"),
        "STEPLINE_LOG_LEVEL": "warning",
        "STEPLINE_WORKER_GRACE": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the checkout that the user names
            [_python(Path(home)), "-m", "api.embedded"],
            cwd=home,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_until_ready(url, process, log)
            yield SteplineServer(url, log)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _python(home: Path) -> str:
    own = home / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx2.get(f"{url}/health/ready", timeout=2).is_success:
                return
        except httpx2.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    pytest.fail(f"the service did not start:\n{log.read_text()[-3000:]}")
