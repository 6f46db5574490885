"""The fixture `stepline_server`, as somebody else's suite uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.conftest import ROOT

SUITE = """
import json, urllib.request

def test_a_task(stepline_server):
    request = urllib.request.Request(
        stepline_server.url + "/tasks/quick",
        json.dumps({"numbers": [1, 2]}).encode(),
        {"Content-Type": "application/json", "Prefer": "wait=10"},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["result"]["sum"] == 3
"""


def run_suite(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_theirs.py").write_text(SUITE)
    usual = {name: value for name, value in os.environ.items() if "STEPLINE" not in name}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env=usual | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_it_starts_the_service_of_a_checkout(tmp_path: Path) -> None:
    ran = run_suite(tmp_path, STEPLINE_HOME=str(ROOT))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_without_a_service_it_says_what_to_set(tmp_path: Path) -> None:
    ran = run_suite(tmp_path)

    assert ran.returncode == 1
    assert "set STEPLINE_URL to a running service, or STEPLINE_HOME" in ran.stdout
