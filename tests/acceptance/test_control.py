"""Cancel, defer, expire, retry: as clients ask for it over HTTP, in both modes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.waiting import wait_for

CHAIN = {
    "request_type": "data_transformation",
    "chain_type": "transform_export",
    "data": {"payload": {"name": "  a "}, "transformations": {"name": "strip"}},
}


async def post(http: httpx2.AsyncClient, path: str, body: Any = None, **headers: str) -> Any:
    answer = await http.post(path, json=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


async def result(http: httpx2.AsyncClient, task_id: str) -> dict[str, Any]:
    """The task's result, once it has ended."""

    async def look() -> dict[str, Any] | None:
        answer = await http.get(f"/tasks/{task_id}/result")
        return answer.json() if answer.status_code == 200 else None

    found = await wait_for(look, 20)
    assert found is not None
    return found


async def status(http: httpx2.AsyncClient, task_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await http.get(f"/tasks/{task_id}/status")).json()
    return answer


async def running(http: httpx2.AsyncClient, duration: int = 60) -> str:
    """A long task that is at work."""
    task_id: str = (await post(http, "/tasks/long", {"duration": duration}))["task_id"]

    async def at_work() -> bool:
        return (await status(http, task_id))["steps"][0]["status"] == "running"

    await wait_for(at_work)
    return task_id


async def listed(http: httpx2.AsyncClient, task_id: str, expected: str) -> bool:
    tasks = (await http.get("/tasks/", params={"text": task_id})).json()["tasks"]
    return bool(tasks and tasks[0]["status"] == expected)


async def test_a_running_task_is_stopped_within_a_second(http: httpx2.AsyncClient) -> None:
    task_id = await running(http)

    answer = await http.post(f"/tasks/{task_id}/cancel", json={"reason": "ordered twice"})

    assert answer.status_code == 202
    assert answer.json()["status"] == "RUNNING"
    ended = await result(http, task_id)
    assert (ended["status"], ended["error"]["code"]) == ("CANCELLED", "cancelled")
    details = ended["error"]["details"]
    assert (details["by"], details["reason"]) == ("anonymous", "ordered twice")
    view = await status(http, task_id)
    asked = datetime.fromisoformat(details["at"])
    assert datetime.fromisoformat(view["finished_at"]) - asked < timedelta(seconds=1)
    assert view["steps"][0]["status"] == "cancelled"
    await wait_for(lambda: listed(http, task_id, "CANCELLED"))


async def test_its_stream_ends_with_the_cancellation(http: httpx2.AsyncClient) -> None:
    task_id = await running(http)
    await http.post(f"/tasks/{task_id}/cancel")

    stream = (await http.get(f"/tasks/{task_id}/events", timeout=10)).text

    last = stream.rstrip().split("\n\n")[-1]
    assert "event: cancelled" in last
    assert '"by":"anonymous"' in last


async def test_a_deferred_task_is_cancelled_at_once(http: httpx2.AsyncClient) -> None:
    body = {"numbers": [1], "delay": 3600}
    task_id = (await post(http, "/tasks/quick", body))["task_id"]

    answer = await http.post(f"/tasks/{task_id}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert (await result(http, task_id))["status"] == "CANCELLED"
    await wait_for(lambda: listed(http, task_id, "CANCELLED"))


async def test_what_has_ended_cannot_be_cancelled(http: httpx2.AsyncClient) -> None:
    task_id = (await post(http, "/tasks/quick", {"numbers": [1]}, Prefer="wait=10"))["task_id"]

    answer = await http.post(f"/tasks/{task_id}/cancel")

    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/already_ended")
    assert (await result(http, task_id))["status"] == "SUCCESS"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
async def test_an_unknown_task_is_404(http: httpx2.AsyncClient, verb: str) -> None:
    answer = await http.post(f"/tasks/01900000-0000-7000-8000-000000000000/{verb}")

    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not_found")


async def test_a_delay_holds_a_task_back_and_no_longer(http: httpx2.AsyncClient) -> None:
    accepted = await post(http, "/tasks/quick", {"numbers": [1, 2], "delay": 1.5})
    assert accepted["status"] == "SCHEDULED"
    due = datetime.fromisoformat(accepted["run_at"])
    assert (await status(http, accepted["task_id"]))["status"] == "SCHEDULED"

    ended = await result(http, accepted["task_id"])

    assert ended["result"]["sum"] == 3
    started = datetime.fromisoformat((await status(http, accepted["task_id"]))["started_at"])
    assert timedelta(0) <= started - due < timedelta(seconds=1)


async def test_run_at_is_a_time_with_its_zone(http: httpx2.AsyncClient) -> None:
    zone = timedelta(hours=8)
    when = datetime.now(UTC) + timedelta(seconds=1)
    local = (when + zone).replace(tzinfo=None).isoformat() + "+08:00"

    accepted = await post(http, "/tasks/quick", {"numbers": [1], "run_at": local})

    assert abs(datetime.fromisoformat(accepted["run_at"]) - when) < timedelta(milliseconds=1)
    assert (await result(http, accepted["task_id"]))["status"] == "SUCCESS"


async def test_a_time_that_has_passed_is_now(http: httpx2.AsyncClient) -> None:
    body = {"numbers": [1], "run_at": "2020-01-01T00:00:00Z"}

    accepted = await post(http, "/tasks/quick", body, Prefer="wait=10")

    assert accepted["status"] == "SUCCESS"


async def test_chains_can_be_deferred_too(http: httpx2.AsyncClient) -> None:
    for path in ("/chain/process", "/chain/dynamic", "/chain/batch"):
        item = {"request_type": "data_validation", "data": {"payload": {"a": 1}}}
        body = {
            "/chain/process": item,
            "/chain/dynamic": item | {"handler_sequence": ["validation"]},
            "/chain/batch": {"batch_requests": [item]},
        }[path]
        accepted = await post(http, path, body | {"delay": 0.5})
        assert accepted["status"] == "SCHEDULED"
        assert (await result(http, accepted["task_id"]))["status"] == "SUCCESS"


async def test_what_cannot_start_in_time_is_not_started(http: httpx2.AsyncClient) -> None:
    body = {"numbers": [1], "delay": 1, "expires_in": 0.2}

    task_id = (await post(http, "/tasks/quick", body))["task_id"]

    ended = await result(http, task_id)
    assert (ended["status"], ended["error"]["code"]) == ("FAILURE", "expired")
    assert (await status(http, task_id))["started_at"] is None
    await wait_for(lambda: listed(http, task_id, "FAILURE"))


@pytest.mark.parametrize(
    ("times", "field"),
    [
        ({"delay": -1}, "delay"),
        ({"delay": 1e300}, "delay"),
        ({"delay": "soon"}, "delay"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"run_at": "2030-01-01T00:00:00"}, "run_at"),
        ({"run_at": "0001-01-01T00:00:00+14:00"}, "run_at"),
        ({"run_at": "9999-12-31T23:59:59-12:00"}, "run_at"),
        ({"delay": 1, "run_at": "2030-01-01T00:00:00Z"}, "body"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 1, "deadline": "2030-01-01T00:00:00Z"}, "body"),
    ],
)
async def test_times_that_make_no_sense_are_refused(
    http: httpx2.AsyncClient, times: dict[str, Any], field: str
) -> None:
    answer = await http.post("/tasks/quick", json={"numbers": [1], **times})

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


async def test_a_retry_is_a_new_task_and_the_old_one_stays(http: httpx2.AsyncClient) -> None:
    first = await post(http, "/chain/process", CHAIN, Prefer="wait=10")

    again = await post(http, f"/tasks/{first['task_id']}/retry", Prefer="wait=10")

    assert again["status"] == "SUCCESS"
    assert again["task_id"] != first["task_id"]
    assert again["retry_of"] == first["task_id"]
    assert (await status(http, again["task_id"]))["retry_of"] == first["task_id"]
    assert (await result(http, first["task_id"]))["result"] == first["result"]


async def test_a_retry_from_a_step_takes_the_earlier_outputs_over(
    http: httpx2.AsyncClient,
) -> None:
    first = await post(http, "/chain/process", CHAIN, Prefer="wait=10")

    body = {"from_step": "export"}
    again = await post(http, f"/tasks/{first['task_id']}/retry", body, Prefer="wait=10")

    steps = (await status(http, again["task_id"]))["steps"]
    assert [step["status"] for step in steps] == ["skipped", "completed"]
    old, new = first["result"]["processing_log"], again["result"]["processing_log"]
    assert new[0] == old[0], "its output is the first task's, to the timestamp"
    assert new[1] != old[1]


async def test_a_retry_may_have_another_payload(http: httpx2.AsyncClient) -> None:
    first = await post(http, "/tasks/quick", {"numbers": [1]}, Prefer="wait=10")

    body = {"payload": {"numbers": [1, 2, 3]}}
    again = await post(http, f"/tasks/{first['task_id']}/retry", body, Prefer="wait=10")

    assert again["result"]["sum"] == 6


async def test_a_retry_with_a_key_is_one_task(http: httpx2.AsyncClient) -> None:
    first = await post(http, "/tasks/quick", {"numbers": [1]}, Prefer="wait=10")
    path = f"/tasks/{first['task_id']}/retry"
    key = f"again-{first['task_id']}"

    answers = await asyncio.gather(
        *(post(http, path, None, **{"Idempotency-Key": key}) for _ in range(5))
    )

    assert len({answer["task_id"] for answer in answers}) == 1
    other = await http.post(
        path, json={"payload": {"numbers": [2]}}, headers={"Idempotency-Key": key}
    )
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"from_step": 1}, "unknown_step"),
        ({"from_step": "nowhere"}, "unknown_step"),
        ({"payload": {"numbers": []}}, "invalid_payload"),
        ({"payload": {"surprise": 1}}, "invalid_payload"),
        ({"from_step": -1}, "invalid_request"),
        ({"from_step": True}, "invalid_request"),
        ({"unknown": 1}, "invalid_request"),
    ],
)
async def test_a_retry_that_makes_no_sense_is_refused(
    http: httpx2.AsyncClient, body: dict[str, Any], code: str
) -> None:
    first = await post(http, "/tasks/quick", {"numbers": [1]}, Prefer="wait=10")

    answer = await http.post(f"/tasks/{first['task_id']}/retry", json=body)

    assert (answer.status_code, answer.json()["type"]) == (422, f"/problems/{code}")


async def test_what_has_not_ended_is_not_retried(http: httpx2.AsyncClient) -> None:
    task_id = (await post(http, "/tasks/quick", {"numbers": [1], "delay": 60}))["task_id"]

    answer = await http.post(f"/tasks/{task_id}/retry")

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/not_ended")
    await http.post(f"/tasks/{task_id}/cancel")


async def test_a_step_that_never_ended_has_nothing_to_take_over(http: httpx2.AsyncClient) -> None:
    body = CHAIN | {
        "chain_type": "standard",
        "data": {"payload": {"a": 1}, "required_fields": ["missing"]},
    }
    failed = await post(http, "/chain/process", body, Prefer="wait=10")
    assert failed["status"] == "FAILURE"

    answer = await http.post(f"/tasks/{failed['task_id']}/retry", json={"from_step": 2})

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/checkpoint_missing")
    assert "validation" in answer.json()["detail"]


async def bulk_end(http: httpx2.AsyncClient, action: dict[str, Any]) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        seen: dict[str, Any] = (await http.get(action["links"]["self"])).json()
        return seen if seen["state"] != "running" else None

    found = await wait_for(look, 20)
    assert found is not None
    return found


async def test_many_are_cancelled_and_retried_by_filter(http: httpx2.AsyncClient) -> None:
    since = datetime.now(UTC).isoformat()
    body = {"numbers": [1, 2], "delay": 3600}
    task_ids = {(await post(http, "/tasks/quick", body))["task_id"] for _ in range(7)}
    for task_id in task_ids:
        await wait_for(lambda task_id=task_id: listed(http, task_id, "SCHEDULED"))

    where = {"type": "quick", "since": since}
    cancelled = await post(http, "/bulk", {"action": "cancel", "filter": where})
    assert cancelled["total"] == 7
    ended = await bulk_end(http, cancelled)

    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 7, 0)
    for task_id in task_ids:
        await wait_for(lambda task_id=task_id: listed(http, task_id, "CANCELLED"))
    retried = await bulk_end(
        http, await post(http, "/bulk", {"action": "retry", "ids": sorted(task_ids)})
    )
    assert (retried["done"], retried["skipped"]) == (7, 0)

    async def again() -> list[dict[str, Any]]:
        page = (await http.get("/tasks/", params={"since": since, "type": "quick"})).json()
        found = [task for task in page["tasks"] if task["retry_of"] in task_ids]
        return found if len(found) == len(task_ids) else []

    for task in await wait_for(again):
        assert (await result(http, task["task_id"]))["result"]["sum"] == 3


async def test_a_bulk_action_skips_what_it_does_not_fit(http: httpx2.AsyncClient) -> None:
    ended = await post(http, "/tasks/quick", {"numbers": [1]}, Prefer="wait=10")
    unknown = "01900000-0000-7000-8000-000000000000"

    action = await post(http, "/bulk", {"action": "cancel", "ids": [ended["task_id"], unknown]})

    done = await bulk_end(http, action)
    assert (done["done"], done["skipped"], done["failed"]) == (0, 2, 0)


async def test_an_action_that_is_through_cannot_be_aborted(http: httpx2.AsyncClient) -> None:
    unknown = "01900000-0000-7000-8000-000000000000"
    action = await post(http, "/bulk", {"action": "discard", "ids": [unknown]})
    await bulk_end(http, action)

    answer = await http.post(action["links"]["abort"])

    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/already_ended")


@pytest.mark.parametrize(
    "body",
    [
        {"action": "retry"},
        {"action": "explode", "filter": {}},
        {"action": "retry", "filter": {}, "ids": ["a"]},
        {"action": "retry", "filter": {"reason": "x"}},
        {"action": "replay", "filter": {"status": "FAILURE"}},
        {"action": "retry", "ids": []},
    ],
)
async def test_a_bulk_action_that_makes_no_sense_is_refused(
    http: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    assert (await http.post("/bulk", json=body)).status_code == 422
