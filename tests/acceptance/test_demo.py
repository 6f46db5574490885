"""`./task demo`, as someone sees it who has just cloned the repository."""

from __future__ import annotations

import subprocess
import sys

from tests.acceptance.conftest import ROOT


def test_the_demonstration_shows_every_step_and_ends_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api.demo"], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 tasks, all ended as they should" in done.stdout
    for step in ("validation", "transformation", "enrichment", "export", "notification"):
        assert f"step.completed  {step}" in done.stdout
    assert done.stderr == ""
