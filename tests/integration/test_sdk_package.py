"""The distribution `stepline`, as others install it: built, put alone into an empty environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import importlib.metadata as metadata, pathlib, sys
import stepline
from stepline import Client, TaskFailed, handler, task_type
from stepline.contract import EmailRequest
EmailRequest(recipient="ada@example.com", subject="s", message="m")
assert pathlib.Path(stepline.__file__).with_name("py.typed").exists()
print(*sorted({d.name.lower().replace("_", "-") for d in metadata.distributions()}))
"""
NEVER = {"fastapi", "starlette", "uvicorn", "redis", "sqlalchemy", "rich", "typer", "pytest"}


def uv(*arguments: str) -> None:
    found = shutil.which("uv") or next(map(str, ROOT.glob(".tools/*/bin/uv")), None)
    assert found is not None, "uv is brought by ./task"
    ran = subprocess.run(
        [found, "--quiet", "--no-progress", *arguments],
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--out-dir", str(folder), str(ROOT / "sdk"))
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """An interpreter that has the wheel and what it needs, and nothing else."""
    environment = tmp_path_factory.mktemp("empty") / "venv"
    uv("venv", str(environment))
    interpreter = environment / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    uv("pip", "install", "--python", str(interpreter), str(wheel))
    return interpreter


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        list(map(str, command)), env=usual, cwd="/", capture_output=True, text=True, check=False
    )


def test_the_archives_hold_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    (sdist,) = built.glob("*.tar.gz")

    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"stepline"}
    assert {"stepline/py.typed", "stepline/client/task.py"} <= set(names)
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "src/stepline/py.typed"} <= inside
    assert not {name for name in inside if name.startswith("tests")}


def test_it_is_installed_alone(python: Path) -> None:
    ran = run(python, "-c", PROGRAM)

    assert ran.returncode == 0, ran.stderr
    installed = set(ran.stdout.split())
    assert {"stepline", "pydantic", "httpx2"} <= installed
    assert not installed & NEVER


def test_the_sdist_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    (wheel,) = built.glob("*.whl")

    uv("build", "--wheel", "--out-dir", str(tmp_path), str(sdist))

    (again,) = tmp_path.glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_command_says_what_it_needs(python: Path) -> None:
    ran = run(python.with_name("stepline"), "health")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "The command needs an extra: pip install 'stepline[cli]'\n"


def test_importing_it_takes_less_than_300_ms(python: Path) -> None:
    ran = run(python, "-X", "importtime", "-c", "import stepline")

    *_, last = ran.stderr.splitlines()
    microseconds = int(last.split("|")[1])
    assert last.endswith("stepline")
    assert microseconds < 300_000
