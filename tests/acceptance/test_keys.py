"""With keys set, every route but live and ready asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from api.keys import hash_secret
from infra.services.ports import free_port
from tests.acceptance.conftest import START_TIMEOUT, Deployment
from tests.waiting import wait_for

KEY = "ci.a-long-secret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    port = free_port()
    environment = {
        "STEPLINE_API_PORT": str(port),
        "STEPLINE_DATA_DIR": str(folder / "data"),
        "STEPLINE_LOG_LEVEL": "debug",
        "STEPLINE_LOG_FORMAT": "json",
        "STEPLINE_API_KEYS": f"ci:{hash_secret('a-long-secret')},old:{hash_secret('x')}:2020-01-01",
        "STEPLINE_CORS_ORIGINS": "https://app.example",
    }
    made = Deployment(f"http://127.0.0.1:{port}", "embedded", environment, folder)
    with made.process("api.embedded"):
        yield made


@pytest.fixture
async def http(guarded: Deployment) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=guarded.url) as http:

        async def up() -> bool:
            try:
                return (await http.get("/health/ready")).status_code == 200
            except httpx2.TransportError:
                return False

        await wait_for(up, START_TIMEOUT)
        yield http


@pytest.mark.parametrize("path", ["/", "/health", "/tasks/", "/docs", "/openapi.json", "/nowhere"])
async def test_without_a_key_nothing_is_told(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer ci.wrong", "Bearer old.x", "Basic abc", "Bearer"])
async def test_a_wrong_or_expired_key_is_none(http: httpx2.AsyncClient, header: str) -> None:
    assert (await http.get("/", headers={"Authorization": header})).status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}], ids=["bearer", "x-api-key"]
)
async def test_a_key_opens_the_door(http: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await http.post("/tasks/quick", json={"numbers": [1]}, headers=headers)

    assert answer.status_code == 200


async def test_orchestrators_need_no_key(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/health/live")).status_code == 200
    assert (await http.get("/health/ready")).status_code == 200


async def test_a_browser_of_an_admitted_origin_may_ask_first(http: httpx2.AsyncClient) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }
    answer = await http.options("/tasks/quick", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"

    other = await http.options("/tasks/quick", headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_no_key_is_ever_logged(http: httpx2.AsyncClient, guarded: Deployment) -> None:
    await http.get("/tasks/?text=ticket", headers={"Authorization": f"Bearer {KEY}"})

    logs = "\n".join(path.read_text() for path in guarded.folder.glob("*.log"))
    assert '"caller": "ci"' in logs
    assert "a-long-secret" not in logs


async def ticket(http: httpx2.AsyncClient) -> str:
    answer = await http.post("/tickets", headers={"X-API-Key": KEY})
    assert answer.status_code == 201, answer.text
    given: str = answer.json()["ticket"]
    return given


async def test_a_ticket_opens_one_stream_once(http: httpx2.AsyncClient) -> None:
    task = await http.post(
        "/tasks/quick",
        json={"numbers": [1]},
        headers={"X-API-Key": KEY, "Prefer": "wait=10"},
    )
    events = f"/tasks/{task.json()['task_id']}/events"
    given = await ticket(http)

    first = await http.get(events, params={"ticket": given})
    second = await http.get(events, params={"ticket": given})

    assert (first.status_code, second.status_code) == (200, 401)
    assert "event: succeeded" in first.text


@pytest.mark.parametrize(("method", "path"), [("GET", "/tasks/"), ("POST", "/tasks/x/events")])
async def test_a_ticket_is_good_for_streams_only(
    http: httpx2.AsyncClient, method: str, path: str
) -> None:
    answer = await http.request(method, path, params={"ticket": await ticket(http)})

    assert answer.status_code == 401


async def test_a_ticket_takes_a_key(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/tickets")).status_code == 401


async def test_what_a_caller_does_bears_its_name(http: httpx2.AsyncClient) -> None:
    headers = {"X-API-Key": KEY}
    task = await http.post("/tasks/quick", json={"numbers": [1], "delay": 60}, headers=headers)
    task_id = task.json()["task_id"]

    await http.post(f"/tasks/{task_id}/cancel", headers=headers)

    result = (await http.get(f"/tasks/{task_id}/result", headers=headers)).json()
    assert result["error"]["message"] == "cancelled by ci"
