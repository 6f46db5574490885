"""The dashboard beside the embedded stack: a process of its own that ends with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from infra.services.guard import Guard
from infra.settings import Settings

PATIENCE = 5
"""Seconds that it gets to end."""


@contextmanager
def dashboard_beside(settings: Settings) -> Iterator[None]:
    """Run the dashboard of the API that `settings` describes, while the context lasts."""
    child = subprocess.Popen(  # noqa: S603 - our own program and address
        [sys.executable, "-m", "dashboard", "--url", settings.resolved_api_url],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us; we end it
    )
    guard = Guard(child.pid)
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        guard.dismiss()
