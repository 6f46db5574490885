"""The browser that tests use: the system's own Chromium."""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def need_chromium() -> str:
    """The path to Chromium. Skips the test where there is none; fails it where it is required."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is not None:
        return path
    reason = "Chromium is not installed: `apt-get install chromium`"
    if os.environ.get("STEPLINE_REQUIRE_SERVICES") == "1":
        pytest.fail(f"STEPLINE_REQUIRE_SERVICES=1, but {reason}")
    pytest.skip(reason)
