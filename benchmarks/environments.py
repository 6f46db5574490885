"""An environment for each peer, made by uv from its locked requirements; never the service's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from stepline.errors import SteplineError

from benchmarks.contenders import Contender

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"


class EnvironmentFailed(SteplineError):
    """A peer's requirements could not be installed; the message is uv's."""

    code = "environment_failed"


def python_of(contender: Contender, folder: Path) -> str:
    """The interpreter to run a contender with. Its environment is made on first use, and again when
    its requirements have changed."""
    if not contender.own_environment:
        return sys.executable
    locked = PEERS / f"{contender.name}.txt"
    digest = hashlib.sha256(locked.read_bytes()).hexdigest()[:12]
    home = folder / f"{contender.name}-{digest}"
    if not home.exists():
        fresh = home.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        # relocatable: it is renamed when it is whole
        _uv("venv", "--quiet", "--relocatable", "--python", sys.executable, str(fresh))
        python = fresh / "bin" / "python"
        _uv("pip", "install", "--quiet", "--python", str(python), "--requirements", str(locked))
        fresh.rename(home)
    return str(home / "bin" / "python")


def _uv(*arguments: str) -> None:
    done = subprocess.run(["uv", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentFailed(f"uv {' '.join(arguments)}:\n{done.stderr}")
