"""Each request of the inherited contract, as its users wrote it, to its finished result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from stepline.client import Client
from stepline.contract import EventKind, Status

from tests.acceptance.conftest import Deployment
from tests.waiting import here, wait_for


async def finished(
    client: Client, http: httpx2.AsyncClient, path: str, body: Any
) -> dict[str, Any]:
    """POST, expect 202, and wait for the result as `/result` shows it."""
    answer = await http.post(path, json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    assert accepted["status"] == "PENDING"
    assert accepted["message"]
    assert answer.headers["location"] == f"/tasks/{accepted['task_id']}/status"
    assert int(answer.headers["retry-after"]) >= 1
    await client.task(accepted["task_id"]).finished(timeout=30)
    result = (await http.get(f"/tasks/{accepted['task_id']}/result")).json()
    assert result["task_id"] == accepted["task_id"]
    return {"queue": accepted["queue"], **result}


async def test_long_work_shows_each_second(client: Client, http: httpx2.AsyncClient) -> None:
    body = {"duration": 2, "task_name": "大数据ETL处理"}
    answer = await http.post("/tasks/long", json=body)
    accepted = answer.json()
    assert (answer.status_code, accepted["estimated_duration"]) == (202, 2)
    assert accepted["queue"] == "long_tasks"
    seen = [
        event
        async for event in client.events(accepted["task_id"])
        if event.kind is EventKind.STEP_PROGRESS
    ]
    assert [(event.current, event.total, event.percent) for event in seen] == [
        (1, 2, 50.0),
        (2, 2, 100.0),
    ]
    result = (await http.get(f"/tasks/{accepted['task_id']}/result")).json()["result"]
    assert result["status"] == "completed"
    assert result["processed_items"] > 0
    assert 2.0 <= result["execution_time"] < 4.0
    assert "result_data" in result


async def test_quick_answers_within_its_second(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tasks/quick", json={"numbers": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]})

    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "SUCCESS")
    assert body["result"] == {"sum": 55, "average": 5.5, "max": 10, "min": 1, "count": 10}


async def test_email_is_sent(client: Client, http: httpx2.AsyncClient) -> None:
    body = {
        "recipient": "user@company.com",
        "subject": "系统处理完成通知",
        "message": "您的数据处理任务已完成，请查看结果。",
    }
    done = await finished(client, http, "/tasks/email", body)

    result = done["result"]
    assert done["queue"] == "email_tasks"
    assert (result["status"], result["recipient"], result["subject"], result["transport"]) == (
        "sent",
        "user@company.com",
        "系统处理完成通知",
        "outbox",
    )
    assert "@" in result["message_id"]
    assert result["sent_at"]


async def test_batch_processes_users_and_names_the_missing(
    client: Client, http: httpx2.AsyncClient
) -> None:
    done = await finished(
        client, http, "/tasks/batch", {"user_ids": [101, 102, 103, 104, 105, 999]}
    )

    result = done["result"]
    assert (result["total_requested"], result["successfully_processed"]) == (6, 5)
    assert result["missing_user_ids"] == [999]
    assert [user["user_id"] for user in result["processed_users"]] == [101, 102, 103, 104, 105]
    assert {"user_id", "username", "email", "processed_at"} <= set(result["processed_users"][0])


async def test_api_fetch_reports_each_address(
    client: Client, http: httpx2.AsyncClient, deployment: Deployment
) -> None:
    urls = [f"{deployment.url}/", f"{deployment.url}/nowhere", "http://127.0.0.1:1/private"]
    done = await finished(client, http, "/tasks/api-fetch", {"urls": urls})

    result = done["result"]
    assert (result["total_urls"], result["successful_requests"], result["failed_requests"]) == (
        3,
        1,
        2,
    )
    good, missing, refused = result["results"]
    assert (good["url"], good["status_code"], good["data"]["name"]) == (urls[0], 200, "Stepline")
    assert {"content_type", "size_bytes", "response_time", "error", "status"} <= set(good)
    assert missing["status_code"] == 404
    assert refused["status_code"] is None
    assert "fetch_refused" in str(refused["error"])


VALIDATION = {
    "request_type": "data_validation",
    "data": {
        "payload": {"name": "Alice Smith", "age": 25, "email": "alice@example.com"},
        "required_fields": ["name", "email"],
        "validation_rules": {
            "name": {"type": "string", "min_length": 2},
            "age": {"type": "number"},
        },
    },
    "chain_type": "validation_only",
}
TRANSFORM_EXPORT = {
    "request_type": "data_transformation",
    "data": {
        "payload": {"first_name": "  john  ", "salary": "75000"},
        "transformations": {"first_name": "strip", "salary": "to_number"},
        "export_format": "json",
    },
    "chain_type": "transform_export",
}
DYNAMIC = {
    "request_type": "data_transformation",
    "data": {
        "payload": {"message": "hello world"},
        "transformations": {"message": "uppercase"},
        "notification_type": "email",
        "recipients": ["admin@example.com"],
    },
    "handler_sequence": ["transformation", "export", "notification"],
}
BATCH = {
    "batch_requests": [
        {
            "request_type": "data_validation",
            "data": {
                "payload": {"name": "User1", "email": "user1@example.com"},
                "required_fields": ["name", "email"],
            },
        },
        {
            "request_type": "data_validation",
            "data": {
                "payload": {"name": "User2", "email": "user2@example.com"},
                "required_fields": ["name", "email"],
            },
        },
    ],
    "chain_type": "standard",
}


async def test_validation_only(client: Client, http: httpx2.AsyncClient) -> None:
    done = await finished(client, http, "/chain/process", VALIDATION)

    result = done["result"]
    assert done["queue"] == "chain_tasks"
    assert result["success"] is True
    assert (result["request_type"], result["chain_type"]) == ("data_validation", "validation_only")
    assert result["original_data"] == VALIDATION["data"]
    (entry,) = result["processing_log"]
    assert set(entry) == {"handler", "message", "status", "timestamp"}
    assert (entry["handler"], entry["status"]) == ("validation", "success")
    assert (result["errors"], result["warnings"], result["total_handlers"]) == ([], [], 1)
    assert result["processing_duration"] > 0
    assert result["task_info"]["task_id"] == done["task_id"]


async def test_transformation_and_export_and_its_download(
    client: Client, http: httpx2.AsyncClient
) -> None:
    done = await finished(client, http, "/chain/process", TRANSFORM_EXPORT)

    processed = done["result"]["processed_data"]
    assert processed["transformed_payload"] == {"first_name": "john", "salary": 75000}
    export = processed["export_result"]
    assert (export["format"], export["record_count"]) == ("json", 1)
    download = await http.get(export["download"])
    assert download.json() == {"first_name": "john", "salary": 75000}
    assert len(download.content) == export["size_bytes"]
    assert download.headers["content-disposition"].startswith("attachment")


async def test_a_dynamic_chain_runs_the_named_handlers(
    client: Client, http: httpx2.AsyncClient
) -> None:
    done = await finished(client, http, "/chain/dynamic", DYNAMIC)

    result = done["result"]
    assert result["chain_type"] == "dynamic"
    assert result["dynamic_chain_info"] == {
        "handler_sequence": ["transformation", "export", "notification"],
        "handlers_used": ["transformation", "export", "notification"],
        "task_id": done["task_id"],
    }
    (delivery,) = result["processed_data"]["notification_result"]["deliveries"]
    assert (delivery["recipient"], delivery["status"]) == ("admin@example.com", "sent")
    assert result["processed_data"]["transformed_payload"] == {"message": "HELLO WORLD"}


async def test_custom_is_dynamic_by_another_door(client: Client, http: httpx2.AsyncClient) -> None:
    done = await finished(client, http, "/chain/process", {**DYNAMIC, "chain_type": "custom"})

    assert done["result"]["dynamic_chain_info"]["handlers_used"] == DYNAMIC["handler_sequence"]


async def test_enrichment_says_what_it_applied(client: Client, http: httpx2.AsyncClient) -> None:
    body = {
        "request_type": "data_enrichment",
        "chain_type": "enrich_notify",
        "data": {"payload": {"first_name": "Ada", "last_name": "Byron", "country": "中国"}},
    }
    done = await finished(client, http, "/chain/process", body)

    enriched = done["result"]["processed_data"]["enriched_payload"]
    assert enriched["first_name"] == "Ada"
    assert enriched["_metadata"]["enrichment_rules_applied"]
    assert done["result"]["warnings"], "no recipients: the notification is skipped with a warning"


async def test_a_batch_of_chains(client: Client, http: httpx2.AsyncClient) -> None:
    done = await finished(client, http, "/chain/batch", BATCH)

    result = done["result"]
    assert (result["total_requests"], result["successful_requests"], result["failed_requests"]) == (
        2,
        2,
        0,
    )
    assert [item["batch_index"] for item in result["results"]] == [0, 1]
    assert [item["total_handlers"] for item in result["results"]] == [5, 5]
    assert {"total_errors", "total_warnings", "average_processing_duration"} <= set(
        result["processing_summary"]
    )


async def test_a_bad_item_of_a_batch_fails_alone(client: Client, http: httpx2.AsyncClient) -> None:
    bad = {
        "request_type": "data_validation",
        "data": {"payload": {}, "required_fields": ["name"]},
    }
    body = {**BATCH, "batch_requests": [bad, *BATCH["batch_requests"]], "chain_type": "standard"}  # type: ignore[misc]
    done = await finished(client, http, "/chain/batch", body)

    result = done["result"]
    assert done["status"] == "SUCCESS"
    assert [item["success"] for item in result["results"]] == [False, True, True]
    assert result["results"][0]["errors"][0]["field"] == "name"


async def test_failed_validation_fails_the_task_and_keeps_its_report(
    client: Client, http: httpx2.AsyncClient
) -> None:
    body = {
        "request_type": "data_validation",
        "data": {
            "payload": {"age": -1, "email": "nope"},
            "required_fields": ["name"],
            "validation_rules": {"age": {"min_value": 0}, "email": {"type": "email"}},
        },
    }
    done = await finished(client, http, "/chain/process", body)

    assert (done["status"], done["error"]["code"]) == ("FAILURE", "validation_failed")
    result = done["result"]
    assert result["success"] is False
    assert {error["field"] for error in result["errors"]} == {"name", "age", "email"}
    assert {error["handler"] for error in result["errors"]} == {"validation"}
    assert [entry["handler"] for entry in result["processing_log"]] == ["validation"]


async def test_both_demonstrations_end_well(client: Client, http: httpx2.AsyncClient) -> None:
    for path, count in (("/demo/run-concurrent-tasks", 5), ("/chain/demo", 6)):
        answer = await http.post(path)
        body = answer.json()
        assert (answer.status_code, body["total_tasks"]) == (202, count)
        for task in body["tasks"]:
            assert {"type", "task_id", "description", "links"} <= set(task)
            ended = await client.task(task["task_id"]).finished(timeout=30)
            assert ended.status is Status.SUCCESS, (task, ended)


async def test_status_tells_all_about_a_chain(client: Client, http: httpx2.AsyncClient) -> None:
    done = await finished(client, http, "/chain/process", TRANSFORM_EXPORT)

    status = (await http.get(f"/tasks/{done['task_id']}/status")).json()
    assert (status["type"], status["status"], status["queue"]) == (
        "chain",
        "SUCCESS",
        "chain_tasks",
    )
    assert status["progress"] == {"current": 2, "total": 2, "percent": 100.0, "message": None}
    assert [(step["handler"], step["status"]) for step in status["steps"]] == [
        ("transformation", "completed"),
        ("export", "completed"),
    ]
    assert status["attempt"] == 1
    assert status["created_at"] <= status["started_at"] <= status["finished_at"]


async def test_the_list_shows_a_task_within_a_second(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tasks/quick", json={"numbers": [1], "task_name": "look for me"})
    task_id = answer.json()["task_id"]

    async def listed() -> Any:
        page = (await http.get("/tasks/", params={"limit": 5})).json()
        return next((task for task in page["tasks"] if task["task_id"] == task_id), None)

    row = await wait_for(listed, timeout=here(1.0))
    assert (row["task_name"], row["type"], row["queue"]) == ("look for me", "quick", "quick_tasks")
    assert {"status", "created_at", "updated_at", "started_at", "finished_at"} <= set(row)


async def test_pages_do_not_shift_under_new_tasks(http: httpx2.AsyncClient) -> None:
    for number in range(5):
        await http.post("/tasks/quick", json={"numbers": [number], "task_name": "paged 页"})
    query: dict[str, Any] = {"text": "paged 页", "limit": 2}

    async def total() -> bool:
        return bool((await http.get("/tasks/", params=query)).json()["total"] >= 5)

    await wait_for(total)
    page = (await http.get("/tasks/", params=query)).json()
    expected = page["total"]
    seen = [task["task_id"] for task in page["tasks"]]
    while page["next"]:
        await http.post("/tasks/quick", json={"numbers": [9], "task_name": "another"})
        page = (await http.get("/tasks/", params={**query, "cursor": page["next"]})).json()
        seen += [task["task_id"] for task in page["tasks"]]

    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=NOPE", "status"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("since=yesterday", "since"),
        ("since=0001-01-01T00:00:00", "since"),
        ("until=9999-12-31T23:59:59-10:00", "until"),
    ],
)
async def test_a_bad_filter_is_named(http: httpx2.AsyncClient, query: str, field: str) -> None:
    answer = await http.get(f"/tasks/?{query}")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == field


async def test_a_time_without_a_zone_is_utc(http: httpx2.AsyncClient) -> None:
    await http.post("/tasks/quick", json={"numbers": [1]})
    now = datetime.now(UTC).replace(tzinfo=None)
    later, earlier = (now + timedelta(hours=1)).isoformat(), (now - timedelta(hours=1)).isoformat()

    assert (await http.get("/tasks/", params={"since": later})).json()["total"] == 0
    assert (await http.get("/tasks/", params={"since": earlier})).json()["total"] > 0


async def test_active_shows_what_runs_now(client: Client, http: httpx2.AsyncClient) -> None:
    task = await client.submit("long", {"duration": 6, "task_name": "busy"})

    async def active() -> Any:
        body = (await http.get("/tasks/active")).json()
        mine = (item for item in body["active_tasks"] if item["task_id"] == task.id)
        return next((item for item in mine if item["step"]), None)

    item = await wait_for(active)
    assert (item["task_name"], item["step"]) == ("busy", "long")
    assert item["worker"].startswith("worker@")
    await task.finished(timeout=20)
    await wait_for(lambda: _is_gone(http, task.id))


async def _is_gone(http: httpx2.AsyncClient, task_id: str) -> bool:
    body = (await http.get("/tasks/active")).json()
    return all(item["task_id"] != task_id for item in body["active_tasks"])


async def test_users(http: httpx2.AsyncClient) -> None:
    page = (await http.get("/users/")).json()
    assert {1, 2, 3, 101, 102, 103, 104, 105} <= {user["id"] for user in page["users"]}
    created = await http.post("/users/", json={"username": "新用户", "email": "new@company.com"})
    assert created.status_code == 201
    user = created.json()
    assert created.headers["location"] == f"/users/{user['id']}"
    taken = await http.post("/users/", json={"username": "other", "email": "NEW@company.com"})
    assert (taken.status_code, taken.json()["errors"][0]["field"]) == (409, "email")
    changed = await http.patch(f"/users/{user['id']}", json={"username": "renamed"})
    assert (changed.json()["username"], changed.json()["email"]) == ("renamed", "new@company.com")
    assert (await http.delete(f"/users/{user['id']}")).status_code == 204
    assert (await http.get(f"/users/{user['id']}")).status_code == 404


async def test_the_service_tells_of_itself(http: httpx2.AsyncClient) -> None:
    root = (await http.get("/")).json()
    assert root["name"] == "Stepline"
    health = (await http.get("/health")).json()
    assert health["status"] == "healthy"
    assert set(health["checks"]) == {"broker", "redis", "database", "workers"}
    assert (await http.get("/health/live")).status_code == 200
    assert (await http.get("/health/ready")).status_code == 200
    for page in ("/docs", "/redoc"):
        html = (await http.get(page)).text
        assert "https://" not in html, "nothing is loaded from outside"
    assert (await http.get("/openapi.json")).json()["info"]["title"] == "Stepline"
