"""A run of the tests without services says what it left out, or fails where they are required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = """
import sys, pytest

class NothingInstalled:
    # once pytest has loaded its plugins: one of them is the SDK's, and wants to be loaded first
    def pytest_configure(self):
        from infra.services import base
        base.SBIN = ()

test = "tests/integration/test_services.py::test_frozen_it_does_not_answer_until_it_goes_on"
sys.exit(pytest.main([test, "-p", "no:cacheprovider"], plugins=[NothingInstalled()]))
"""


def run_with_nothing_installed(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN],
        env={"PATH": "/nowhere", "HOME": os.environ.get("HOME", "/"), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_line_says_what_was_left_out() -> None:
    done = run_with_nothing_installed()

    assert done.returncode == 0, done.stdout
    assert (
        "left out 1 test, since Redis is not installed: `apt-get install redis-server`\n"
        in done.stdout
    )
    assert "1 skipped" in done.stdout.splitlines()[-1]


def test_where_services_are_required_a_missing_one_fails() -> None:
    done = run_with_nothing_installed(STEPLINE_REQUIRE_SERVICES="1")

    assert done.returncode == 1, done.stdout
    assert "STEPLINE_REQUIRE_SERVICES=1, but Redis is not installed" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]
