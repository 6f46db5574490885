"""`./task smoke` is told the truth by a deployment, and tells it on."""

from __future__ import annotations

import subprocess
import sys

from api.smoke_examples import EXAMPLES
from api.smoke_stories import STORIES
from infra.services.ports import free_port
from tests.acceptance.conftest import ROOT, Deployment

COUNT = len(EXAMPLES) + len(STORIES)


def smoke(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api.smoke", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_every_example_works(deployment: Deployment) -> None:
    done = smoke(deployment.url)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNT} of {COUNT} went well" in done.stdout


def test_a_deployment_that_is_not_there_fails_every_one() -> None:
    done = smoke(f"http://127.0.0.1:{free_port()}")

    assert done.returncode == 1
    assert f"0 of {COUNT} went well" in done.stdout
    assert "connection_failed" in done.stdout
