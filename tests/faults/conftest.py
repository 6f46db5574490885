"""Deployments that may be hurt: each test has its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.services.base import free_port
from tests.acceptance.conftest import ROOT, Deployment, service_urls, until_healthy

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(deployment, module)` starts a process that ends with the test at the latest."""
    with ExitStack() as stack:

        def begin(deployment: Deployment, *module: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(deployment.process(*module))

        yield begin


def made(folder: Path, mode: str, **environment: str) -> Deployment:
    port = free_port()
    base = {
        "STEPLINE_API_PORT": str(port),
        "STEPLINE_DATA_DIR": str(folder / "data"),
        "STEPLINE_LOG_LEVEL": "warning",
        "STEPLINE_WORKER_GRACE": "1",
        "STEPLINE_METRICS_PORT": "0",
    }
    return Deployment(f"http://127.0.0.1:{port}", mode, base | environment, folder)


@pytest.fixture
def embedded(tmp_path: Path) -> Deployment:
    """Not started yet."""
    return made(tmp_path, "embedded")


@pytest.fixture
def apart(tmp_path: Path, request: pytest.FixtureRequest, start: Start) -> Deployment:
    """An API over real services; workers are the test's to start."""
    deployment = made(tmp_path, "services", **service_urls(request))
    subprocess.run(
        [sys.executable, "-m", "infra.history"],
        cwd=ROOT,
        env=os.environ | deployment.environment,
        check=True,
        capture_output=True,
    )
    start(deployment, "api")
    return deployment


@pytest.fixture
def healthy() -> Callable[[Deployment], None]:
    return until_healthy
