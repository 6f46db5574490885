"""`./task` on a machine with little on it: what it says, and that it installs its tools once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("sh", "dirname", "readlink", "cksum", "cut", "mkdir", "rm")

# In the place of the real one: "installs" a go-task that shows how it was called.
PIP = """
import pathlib, sys
if "--version" in sys.argv:
    sys.exit(0)
assert "--require-hashes" in sys.argv
tools = pathlib.Path(sys.argv[sys.argv.index("--target") + 1], "bin")
tools.mkdir(parents=True)
lines = [
    "#!/bin/sh",
    'echo "called: $*"',
    'echo "cache: ${UV_CACHE_DIR:-}"',
    'echo "system certificates: ${UV_SYSTEM_CERTS:-}"',
    "exit ${CODE:-0}",
    "",
]
(tools / "task").write_text("\\n".join(lines))
(tools / "task").chmod(0o755)
print("pip was run")
"""


class Machine:
    """A checkout, and a PATH with a few programs and maybe a Python."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "check out"
        self.path = folder / "bin"
        self.pip = folder / "modules" / "pip"
        self.elsewhere = folder / "elsewhere"
        for made in (self.checkout, self.path, self.pip, self.elsewhere):
            made.mkdir(parents=True)
        for name in ("task", "tools.txt", "Taskfile.yml"):
            shutil.copy(ROOT / name, self.checkout / name)
        for name in NEEDED:
            program = shutil.which(name)
            assert program is not None
            (self.path / name).symlink_to(program)
        (self.pip / "__init__.py").touch()
        self.with_pip(PIP)

    def with_python(self) -> None:
        (self.path / "python3").symlink_to(Path(sys.executable).resolve())

    def with_pip(self, program: str) -> None:
        (self.pip / "__main__.py").write_text(program)

    def run(
        self, *arguments: str, script: Path | None = None, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script or self.checkout / "task", *arguments],
            env={"PATH": str(self.path), "PYTHONPATH": str(self.pip.parent)} | (environment or {}),
            cwd=self.elsewhere,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_python_it_says_what_to_install(machine: Machine) -> None:
    done = machine.run()

    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "apt-get install python3 python3-pip" in done.stderr


def test_without_pip_it_says_what_to_install(machine: Machine) -> None:
    machine.with_python()
    machine.with_pip("raise SystemExit(1)")

    done = machine.run()

    assert done.returncode == 1
    assert "needs pip" in done.stderr
    assert "apt-get install python3-pip" in done.stderr


def test_it_installs_its_tools_once(machine: Machine) -> None:
    machine.with_python()

    first, second = machine.run(), machine.run()

    assert "installing uv and go-task into .tools (once)" in first.stderr
    assert "pip was run" in first.stdout
    assert second.stderr == ""
    assert "pip was run" not in second.stdout


def test_other_pins_are_installed_anew(machine: Machine) -> None:
    machine.with_python()
    machine.run()
    with (machine.checkout / "tools.txt").open("a") as pins:
        pins.write("# another\n")

    assert "pip was run" in machine.run().stdout


def test_a_failed_installation_is_tried_again(machine: Machine) -> None:
    machine.with_python()
    machine.with_pip("import sys; sys.exit(0 if '--version' in sys.argv else 3)")
    assert machine.run().returncode == 3

    machine.with_pip(PIP)

    assert machine.run().returncode == 0


def test_it_works_from_anywhere_and_through_a_link(machine: Machine) -> None:
    machine.with_python()
    link = machine.elsewhere / "stepline"
    link.symlink_to(machine.checkout / "task")

    done = machine.run("test", "--", "-k", "export", script=link)

    called = f"--taskfile {machine.checkout}/Taskfile.yml --dir {machine.checkout}"
    assert f"{called} test -- -k export\n" in done.stdout


def test_the_exit_code_is_the_verbs(machine: Machine) -> None:
    machine.with_python()

    assert machine.run(environment={"CODE": "7"}).returncode == 7


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/proc/nowhere"}])
def test_without_a_home_the_cache_is_in_the_checkout(
    machine: Machine, home: dict[str, str]
) -> None:
    machine.with_python()

    assert f"cache: {machine.checkout}/.tools/cache\n" in machine.run(environment=home).stdout


def test_uv_trusts_whom_the_system_trusts_unless_told_otherwise(machine: Machine) -> None:
    """As pip does: behind a company's own certificate authority both work, or neither."""
    machine.with_python()

    assert "system certificates: 1\n" in machine.run().stdout
    assert "system certificates: 0\n" in machine.run(environment={"UV_SYSTEM_CERTS": "0"}).stdout
