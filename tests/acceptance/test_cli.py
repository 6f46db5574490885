"""The command `stepline`, as people and scripts use it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import Result
from stepline.cli.app import app
from typer.testing import CliRunner

from infra.services.ports import free_port
from tests.acceptance.conftest import Deployment

pytestmark = pytest.mark.parametrize("deployment", ["embedded"], indirect=True)

CHAIN = {
    "request_type": "data_transformation",
    "data": {"payload": {"a": "b"}, "transformations": {"a": "uppercase"}},
}
DYNAMIC = {**CHAIN, "handler_sequence": ["transformation", "export"]}
BATCH = {"batch_requests": [CHAIN]}
NEVER_ENDS = ["submit", "quick", "--numbers", "1", "--delay", "3600"]


@pytest.fixture
def run(deployment: Deployment) -> Callable[..., Result]:
    """`run("list", "-n", "1")` → what it printed and its exit code."""

    def invoke(*arguments: str, text: str | None = None) -> Result:
        runner = CliRunner(env={"STEPLINE_URL": deployment.url})
        return runner.invoke(app, list(arguments), input=text, catch_exceptions=False)

    return invoke


def documents(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_submission_is_watched_to_its_result(run) -> None:
    ran = run("submit", "quick", "--numbers", "1,2,3", "--watch")

    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["sum"] == 6  # the result alone: the rest is told beside it
    assert "step.completed   quick" in ran.stderr


def test_without_watch_it_is_the_tasks_id(run) -> None:
    ran = run("submit", "quick", "--numbers", "[1, 2.5]", "--task-name", "n")

    assert ran.exit_code == 0
    task_id = ran.stdout.strip()
    assert json.loads(run("--json", "status", task_id).stdout)["task_name"] == "n"


def test_for_machines_there_is_json_and_nothing_else(run) -> None:
    (accepted,) = documents(run("submit", "quick", "--numbers=1", "--json"))
    events = documents(run("watch", accepted["task_id"], "--json"))

    assert [event["kind"] for event in events] == [
        "queued",
        "started",
        "step.started",
        "step.completed",
        "succeeded",
        "result",
    ]
    assert events[-1]["result"]["sum"] == 1
    (result,) = documents(run("--json", "result", accepted["task_id"]))
    assert result["status"] == "SUCCESS"
    (health,) = documents(run("health", "--json"))
    assert health["status"] == "healthy"
    assert "quick" in {item["name"] for item in documents(run("task-types", "--json"))}


def test_payloads_come_from_files_and_pipes(run, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"numbers": [4]}')

    assert json.loads(run("submit", "quick", "-p", str(file), "-w").stdout)["sum"] == 4
    piped = run("submit", "quick", "--payload", "-", "-w", text='{"numbers": [5]}')
    assert json.loads(piped.stdout)["sum"] == 5


@pytest.mark.parametrize(
    ("request_", "chain_type"), [(CHAIN, "standard"), (DYNAMIC, "dynamic"), (BATCH, "standard")]
)
def test_chains_come_from_files(run, tmp_path: Path, request_: dict, chain_type: str) -> None:
    file = tmp_path / "chain.json"
    file.write_text(json.dumps(request_))

    ran = run("chain", str(file), "--watch")

    assert ran.exit_code == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["chain_type"] == chain_type
    assert ("total_requests" in report) is (request_ is BATCH)


def test_a_task_that_ends_badly_is_exit_code_1(run, tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    bad = {"payload": {"a": 1}, "required_fields": ["b"]}
    file.write_text(json.dumps({**CHAIN, "chain_type": "validation_only", "data": bad}))

    ran = run("chain", str(file), "--watch")

    assert ran.exit_code == 1
    assert "validation_failed" in ran.stderr
    assert json.loads(ran.stdout)["success"] is False  # its report all the same


def test_a_wrong_command_is_exit_code_2(run, tmp_path: Path) -> None:
    for arguments in (
        ["submit", "quick", "--numbers", "1,x"],
        ["submit", "quick", "--no-such-field", "1"],
        ["submit", "no_such_type", "--field", "1"],
        ["chain", str(tmp_path / "nothing.json")],
        ["submit", "quick", "stray"],
        ["list", "--status", "NONE"],
        ["no-such-command"],
    ):
        assert run(*arguments).exit_code == 2, arguments
    broken = run("submit", "quick", "-p", "-", text="{")
    assert (broken.exit_code, broken.stdout) == (2, "")
    assert "no JSON" in broken.stderr


def test_not_reachable_is_exit_code_3(run) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    ran = run("--url", gone, "--patience", "0", "health")

    assert (ran.exit_code, ran.stdout) == (3, "")
    assert ran.stderr.startswith("error: connection_failed")


def test_not_ended_in_time_is_exit_code_4(run) -> None:
    task_id = run(*NEVER_ENDS).stdout.strip()

    assert run("result", task_id).exit_code == 4
    assert run("result", task_id, "--timeout", "0.2").exit_code == 4
    watched = run("watch", task_id, "--timeout", "0.2")
    assert (watched.exit_code, watched.stdout) == (4, "")
    assert run("cancel", task_id, "--reason", "enough").exit_code == 0
    assert run("result", task_id).exit_code == 1


def test_what_the_service_refuses_is_exit_code_5(run) -> None:
    for arguments in (["status", "nope"], ["submit", "quick"], ["retry", "nope"]):
        ran = run(*arguments)
        assert (ran.exit_code, ran.stdout) == (5, "")
        assert ran.stderr.startswith("error: ")


def test_tasks_are_listed_shown_and_tried_again(run) -> None:
    name = uuid4().hex
    task_id = run("submit", "quick", "--numbers", "1", "--task-name", name, "-w", "--json")
    task_id = documents(task_id)[0]["task_id"]
    deadline = time.monotonic() + 10
    while not (listed := documents(run("list", "--text", name, "--json"))):
        assert time.monotonic() < deadline

    assert [item["task_id"] for item in listed] == [task_id]
    table = run("list", "--status", "success", "--type", "quick", "-n", "500").stdout
    assert table.splitlines()[0].split() == ["created", "type", "status", "took", "id", "name"]
    page = run("status", task_id).stdout
    assert "SUCCESS" in page
    assert name in page
    again = run("retry", task_id, "--from-step", "0", "--watch")
    assert (again.exit_code, json.loads(again.stdout)["sum"]) == (0, 1)


def test_names_cannot_give_orders_to_the_terminal(run) -> None:
    task_id = run(*NEVER_ENDS, "--task-name", "a\x1b[31mb").stdout.strip()

    assert "\x1b" not in run("status", task_id).stdout
    run("cancel", task_id)


def test_tail_follows_all_tasks_until_it_is_interrupted(deployment: Deployment, run) -> None:
    # whoever runs the tests in the background may have had SIGINT ignored for all below
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from stepline.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "--json", "tail", "--type", "quick"]
    environment = os.environ | {"STEPLINE_URL": deployment.url}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        lines: list[dict] = []
        os.set_blocking(tail.stdout.fileno(), False)
        deadline = time.monotonic() + 30
        while not any(line["kind"] == "succeeded" for line in lines):
            assert time.monotonic() < deadline
            run("submit", "quick", "--numbers", "1", "-w")
            lines += [json.loads(line) for line in tail.stdout]
        tail.send_signal(signal.SIGINT)
        try:
            assert tail.wait(20) == 130
        finally:
            tail.kill()

    assert {line["type"] for line in lines} == {"quick"}


def test_a_terminal_gets_a_bar_for_each_step(deployment: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "chain.json"
    file.write_text(json.dumps(DYNAMIC))
    outer, inner = pty.openpty()
    ran = subprocess.run(
        [sys.executable, "-m", "stepline.cli", "chain", str(file), "--watch"],
        env=os.environ | {"STEPLINE_URL": deployment.url, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=inner,
        check=False,
        timeout=60,
    )
    os.close(inner)
    os.set_blocking(outer, False)
    shown = os.read(outer, 1_000_000).decode()
    os.close(outer)

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["chain_type"] == "dynamic"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for step in ("transformation", "export"):
        assert re.search(rf"✓ +{step} +━+ 100%", plain), plain


def test_without_the_extra_it_says_what_to_install(deployment: Deployment, tmp_path: Path) -> None:
    del deployment
    for name in ("typer", "rich"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError(name={name!r})")
    ran = subprocess.run(
        [sys.executable, "-m", "stepline.cli", "health"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "The command needs an extra: pip install 'stepline[cli]'\n"


def test_shells_complete_it(deployment: Deployment) -> None:
    ran = subprocess.run(
        [Path(sys.executable).with_name("stepline")],
        env=os.environ
        | {
            "STEPLINE_URL": deployment.url,
            "_STEPLINE_COMPLETE": "complete_bash",
            "COMP_WORDS": "stepline ta",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert set(ran.stdout.split()) == {"tail", "task-types"}
