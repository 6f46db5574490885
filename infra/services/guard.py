"""A watch over a child's process group: however we end, `kill -9` included, it ends too."""

from __future__ import annotations

import subprocess

GRACE = 20
"""Seconds to end gracefully, before force."""

# Its standard input is a pipe from us, which the kernel closes when we are gone.
SCRIPT = """
read -r _
kill -TERM "-$1" && kill -CONT "-$1"
left=$2
while [ "$left" -gt 0 ] && kill -0 "-$1"; do sleep 1; left=$((left - 1)); done
kill -KILL "-$1"
"""


class Guard:
    """Watches over the group that `pid` leads, until dismissed."""

    def __init__(self, pid: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", SCRIPT, "guard", str(pid), str(GRACE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends us must not end it
        )

    def dismiss(self) -> None:
        """Watch no more: the group has ended, or is somebody else's now."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
