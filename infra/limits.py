"""What the operating system allows a process."""

from __future__ import annotations

import contextlib
import resource


def raise_open_files() -> None:
    """As many open files as the process may have: each viewer of a stream is one, and the usual
    soft limit of 1,024 is for programs that use `select`, which this one does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems refuse "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
