"""The site builds without a warning, and loads nothing from outside."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.session import ROOT

OUTSIDE = re.compile(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']?(https?:)?//")


def test_the_site_builds_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    (tmp_path / "sdk").symlink_to(ROOT / "sdk")
    reference = [sys.executable, "-W", "error", "-m", "api.reference"]
    subprocess.run([*reference, str(tmp_path / "docs" / "reference")], cwd=ROOT, check=True)

    built = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert built.returncode == 0, built.stdout + built.stderr
    assert "No issues found" in built.stdout + built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        assert not OUTSIDE.search(page.read_text()), page
