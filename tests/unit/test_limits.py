"""The API takes as many connections as the system allows, whatever the shell's soft limit."""

from __future__ import annotations

import resource
import subprocess
import sys

SCRIPT = """
import resource
from infra.limits import raise_open_files
raise_open_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_low_soft_limit_is_raised_to_the_hard_one() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)),
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.split() == [str(hard), str(hard)]
