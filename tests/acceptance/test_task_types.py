"""Types that another package brings: installed beside the service, used over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from stepline.client import Client
from stepline.errors import NotFound

from infra.services.ports import free_port
from tests.acceptance.conftest import ROOT, START_TIMEOUT, Deployment
from tests.waiting import wait_for

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))
PEOPLE = "name,age\nAda,36\nBob,young\n,41\nCid,44\n"


YEARLY = """
from pydantic import BaseModel
from stepline import Context, handler, task_type

class Greeting(BaseModel):
    name: str

@handler
async def greet(ctx: Context, payload: Greeting) -> str:
    return f"Happy new year, {payload.name}"

GREET = task_type(
    "yearly", payload=Greeting, handlers=[greet], schedule="0 0 1 1 *",
    timezone="Asia/Shanghai", schedule_payload={"name": "Ada"},
)
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example packages, installed into a folder of their own."""
    folder: Path = tmp_path_factory.mktemp("plugins")
    command = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, "--python", sys.executable, *map(str, EXAMPLES)], check=True)
    info = folder / "yearly-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: yearly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stepline.handlers]\nyearly = yearly\n")
    (folder / "yearly.py").write_text(YEARLY)
    return folder


@pytest.fixture(scope="module")
def with_plugin(plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder: Path = tmp_path_factory.mktemp("with-plugin")
    port = free_port()
    environment = {
        "STEPLINE_API_PORT": str(port),
        "STEPLINE_DATA_DIR": str(folder / "data"),
        "STEPLINE_LOG_LEVEL": "warning",
        "PYTHONPATH": str(plugins),
    }
    made = Deployment(f"http://127.0.0.1:{port}", "embedded", environment, folder)
    with made.process("api.embedded"):
        yield made


@pytest.fixture
async def http(with_plugin: Deployment) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=with_plugin.url) as http:

        async def up() -> bool:
            try:
                return (await http.get("/health/ready")).status_code == 200
            except httpx2.TransportError:
                return False

        await wait_for(up, START_TIMEOUT)
        yield http


BODY: dict[str, Any] = {"text": PEOPLE, "required": ["name"], "numbers": ["age"]}


@pytest.mark.parametrize("path", ["/tasks/csv-import", "/tasks/csv_import"])
async def test_its_type_is_submitted_like_any_other(http: httpx2.AsyncClient, path: str) -> None:
    body = BODY | {"task_name": "people"}

    answer = await http.post(path, json=body, headers={"Prefer": "wait=10"})

    assert answer.status_code == 200, answer.text
    assert (answer.json()["queue"], answer.json()["task_name"]) == ("imports", "people")
    assert answer.json()["result"]["columns"]["age"]["mean"] == 40.0
    events = (await http.get(f"/tasks/{answer.json()['task_id']}/events")).text
    assert "event: step.output" in events
    assert "line 3: age is no number" in events


async def test_tokens_are_streamed_in_order_and_replayed_to_whoever_comes_back(
    http: httpx2.AsyncClient,
) -> None:
    body = {"text": "the cat saw the dog and the dog saw the bird", "tokens": 400, "order": 1}
    headers = {"Accept": "text/event-stream"}

    live = (await http.post("/tasks/text-stream", json=body, headers=headers)).text

    tokens = outputs(live)
    assert [token["n"] for _, token in tokens] == list(range(1, 401))
    (task_id,) = set(re.findall(r'"task_id":"([^"]+)"', live))
    result = (await http.get(f"/tasks/{task_id}/result")).json()["result"]
    assert "".join(token["token"] for _, token in tokens) == result["text"]
    seen = tokens[149][0]
    rest = await http.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": seen})
    assert outputs(rest.text) == tokens[150:]


def outputs(stream: str) -> list[tuple[str, dict[str, Any]]]:
    """(id, data) of each piece of output in a stream's text."""
    found = re.findall(r"id: (\S+)\nevent: step.output\ndata: (.*)\n\n", stream)
    return [(event_id, json.loads(data)["data"]) for event_id, data in found]


async def test_its_payload_is_checked_and_in_the_openapi(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tasks/csv-import", json={"texts": "a"})

    assert answer.status_code == 422
    assert {problem["field"] for problem in answer.json()["errors"]} == {"text", "texts"}
    schema = (await http.get("/openapi.json")).json()
    assert "/tasks/csv-import" in schema["paths"]
    assert "/tasks/csv_import" not in schema["paths"]
    assert "numbers" in schema["components"]["schemas"]["CsvImport"]["properties"]


async def test_it_may_be_deferred_and_retried(http: httpx2.AsyncClient) -> None:
    first = await http.post("/tasks/csv-import", json=BODY | {"delay": 0.5})
    task_id = first.json()["task_id"]

    async def ended() -> bool:
        return (await http.get(f"/tasks/{task_id}/result")).status_code == 200

    await wait_for(ended)
    again = await http.post(
        f"/tasks/{task_id}/retry",
        json={"from_step": "sum_up"},
        headers={"Prefer": "wait=10"},
    )

    assert again.json()["status"] == "SUCCESS"
    assert again.json()["result"]["rows"] == 2


async def test_all_types_are_listed_with_their_schemas(http: httpx2.AsyncClient) -> None:
    types = {item["name"]: item for item in (await http.get("/task-types")).json()["task_types"]}

    mine = types["csv_import"]
    assert (mine["path"], mine["queue"]) == ("/tasks/csv-import", "imports")
    assert mine["handlers"] == ["read_rows", "check_rows", "sum_up"]
    assert "delimiter" in mine["json_schema"]["properties"]
    assert types["api_fetch"]["path"] == "/tasks/api-fetch"
    assert (types["text_stream"]["path"], types["text_stream"]["queue"]) == (
        "/tasks/text-stream",
        "text",
    )
    assert len(types) == 8 + len(EXAMPLES)


async def test_a_schedule_is_told_and_run_at_once(
    with_plugin: Deployment, http: httpx2.AsyncClient
) -> None:
    async with Client(with_plugin.url) as client:
        (schedule,) = await client.schedules.list()
        task = await client.schedules.run("yearly")
        result = await task.wait(20)
        with pytest.raises(NotFound):
            await client.schedules.run("quick")

    assert (schedule.type, schedule.schedule) == ("yearly", "0 0 1 1 *")
    assert (schedule.timezone, schedule.last_at) == ("Asia/Shanghai", None)
    assert (schedule.next_at.month, schedule.next_at.day, schedule.next_at.hour) == (12, 31, 16)
    assert result == "Happy new year, Ada"


async def test_a_type_that_nobody_has_is_told_with_the_nearest(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tasks/csv-imports", json={})

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/unknown_task_type"
    assert "'csv_import'" in answer.json()["detail"]


async def test_their_own_tests_pass_without_the_service(tmp_path: Path) -> None:
    """As their authors run them: the SDK and the packages, and nothing of the service."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(["uv", "venv", "--quiet", str(tmp_path / "venv")], check=True)
    packages = [str(ROOT / "sdk"), *map(str, EXAMPLES), "pytest"]
    install = ["uv", "pip", "install", "--quiet", "--python", str(python), *packages]
    subprocess.run(install, check=True)

    for example in EXAMPLES:
        ran = subprocess.run(
            [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(example)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert " passed" in ran.stdout


def test_a_broken_plugin_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stepline.handlers]\nbroken = nowhere_at_all\n")

    import os

    ran = subprocess.run(
        [sys.executable, "-m", "api.embedded"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "STEPLINE_DATA_DIR": str(tmp_path / "d")},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert ran.returncode == 2
    assert "broken declares broken = 'nowhere_at_all'" in ran.stderr
    assert "Traceback" not in ran.stderr
