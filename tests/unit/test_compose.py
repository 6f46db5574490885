"""The compose file and the image: what can be known of them without an engine."""

from __future__ import annotations

import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.compose_env import addresses, ensure, read
from infra.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


OURS = ("migrate", "api", "worker", "cron")


def run(program: str, *arguments: str) -> None:
    command = [Path(sys.executable).with_name(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_is_one_by_the_schema_of_compose() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_the_dockerfile_has_nothing_that_a_linter_knows_better() -> None:
    run("hadolint", "Dockerfile")


def test_what_the_image_copies_is_in_the_build_context() -> None:
    admitted = (ROOT / ".dockerignore").read_text().split()
    copied = {
        source
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from=" not in line
        for source in line.split()[1:-1]
    }
    assert admitted[0] == "*"
    assert {f"!{source}" for source in copied} <= set(admitted)


def test_every_process_of_ours_runs_a_module_that_is_there(compose: Any) -> None:
    for name in (*OURS, "dashboard"):
        python, flag, module = compose["services"][name]["command"][:3]
        assert (python, flag) == ("python", "-m")
        assert find_spec(module) is not None


def test_every_setting_in_it_is_one(compose: Any) -> None:
    known = {f"STEPLINE_{name.upper()}" for name in Settings.model_fields}
    for name in (*OURS, "dashboard"):
        assert set(compose["services"][name]["environment"]) <= known


def test_nothing_begins_before_what_it_needs(compose: Any) -> None:
    services = compose["services"]
    for name in ("api", "worker", "cron"):
        needs = services[name]["depends_on"]
        assert needs["migrate"] == {"condition": "service_completed_successfully"}
        for service in ("rabbitmq", "redis"):
            assert needs[service] == {"condition": "service_healthy"}
            assert services[service]["healthcheck"]["test"]


def test_all_processes_share_the_exports(compose: Any) -> None:
    assert {tuple(compose["services"][name]["volumes"]) for name in OURS} == {("data:/data",)}


def test_ports_are_open_on_this_machine_only(compose: Any) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_redis_keeps_and_evicts_nothing(compose: Any) -> None:
    command = " ".join(compose["services"]["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_the_image_runs_without_root_and_holds_every_module() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "USER 10001" in text
    for folder in ("api", "dashboard", "handlers", "infra", "workers"):
        assert f"COPY {folder} {folder}" in text


def test_the_environment_is_written_once_with_passwords_of_its_own(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    assert (ensure(first), ensure(first), ensure(second)) == (True, False, True)

    one, other = read(first), read(second)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)
    assert one["STEPLINE_CLIENT_KEY"] in addresses(one)
    assert Settings(api_host="0.0.0.0", api_keys=one["STEPLINE_API_KEYS"]).api_keys


def test_compose_asks_for_nothing_that_is_not_written(compose: Any, tmp_path: Path) -> None:
    path = tmp_path / "env"
    ensure(path)
    text = (ROOT / "compose.yaml").read_text()
    required = {part.split(":?")[0] for part in text.split("${")[1:] if ":?" in part.split("}")[0]}

    assert required <= set(read(path))
