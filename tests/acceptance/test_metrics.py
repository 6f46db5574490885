"""`/metrics` as Prometheus reads it, in both modes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.services.ports import free_port
from tests.acceptance.conftest import Deployment
from tests.waiting import wait_for


async def scrape(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: dict[Any, float], name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


async def test_the_api_tells_of_itself_and_of_the_parts(
    deployment: Deployment, http: httpx2.AsyncClient
) -> None:
    before = await scrape(deployment.url)
    for _ in range(3):
        await http.post("/tasks/quick", json={"numbers": [1]}, headers={"Prefer": "wait=10"})
    await http.post("/tasks/quick", json={"numbers": [1], "delay": 3600})

    after = await scrape(deployment.url)

    accepted = {"type": "quick", "answer": "accepted"}
    name = "stepline_submissions_total"
    assert value(after, name, **accepted) - value(before, name, **accepted) == 4
    for part in ("broker", "redis", "database"):
        assert value(after, "stepline_up", part=part) == 1
    assert value(after, "stepline_workers_alive") >= 1
    assert value(after, "stepline_queue_messages", queue="quick_tasks") == 0
    route = {"method": "POST", "route": "/tasks/quick"}
    ended = value(after, "stepline_http_request_seconds_count", status="200", **route)
    assert ended >= 3

    async def deferred() -> bool:
        return value(await scrape(deployment.url), "stepline_tasks_deferred") >= 1

    await wait_for(deferred)


async def test_a_worker_tells_what_it_did(deployment: Deployment, http: httpx2.AsyncClient) -> None:
    """Embedded, it tells it on the API's page; else each worker has a port of its own."""
    url = deployment.url
    before: dict[Any, float] = {}
    if deployment.mode == "embedded":
        before = await scrape(url)
        await work(http)
        after = await scrape(url)
        ended = {"type": "chain", "status": "SUCCESS"}
        name = "stepline_tasks_ended_total"
        assert value(after, name, **ended) - value(before, name, **ended) == 1
        steps = {"handler": "validation", "outcome": "completed"}
        assert value(after, "stepline_step_seconds_count", **steps) >= 1
        assert value(after, "stepline_queue_seconds_count", queue="chain_tasks") >= 1
        assert value(after, "stepline_history_rows_total") > 0
        return
    port = free_port()
    environment = deployment.environment | {"STEPLINE_METRICS_PORT": str(port)}
    with replace(deployment, environment=environment).process("workers"):

        async def served() -> bool:
            try:
                return bool(await scrape(f"http://127.0.0.1:{port}"))
            except httpx2.TransportError:
                return False

        await wait_for(served, 30)

        async def worked() -> bool:
            await work(http)
            samples = await scrape(f"http://127.0.0.1:{port}")
            return value(samples, "stepline_tasks_ended_total", type="chain", status="SUCCESS") > 0

        await wait_for(worked, 30)


async def work(http: httpx2.AsyncClient) -> None:
    body = {
        "request_type": "data_validation",
        "chain_type": "validation_only",
        "data": {"payload": {"a": 1}},
    }
    answer = await http.post("/chain/process", json=body, headers={"Prefer": "wait=10"})
    assert answer.json()["status"] == "SUCCESS"


@pytest.mark.parametrize("path", ["/metrics"])
async def test_it_is_in_the_openapi(http: httpx2.AsyncClient, path: str) -> None:
    assert path in (await http.get("/openapi.json")).json()["paths"]
