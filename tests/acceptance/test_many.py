"""Many submissions in one request: each is judged, accepted and answered by itself."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.acceptance.test_control import result

QUICK = {"type": "quick", "payload": {"numbers": [1, 2, 3]}}


async def post(http: httpx2.AsyncClient, items: Any, **headers: str) -> httpx2.Response:
    return await http.post("/tasks/bulk", json=items, headers=headers)


async def test_items_of_several_types_are_answered_in_order(http: httpx2.AsyncClient) -> None:
    items = [
        QUICK,
        {"type": "api-fetch", "payload": {"urls": ["http://127.0.0.1:1/"]}},
        {"type": "quick", "payload": {"numbers": ["x"]}},
        {"type": "quikc", "payload": {}},
        {"type": "quick", "payload": {"numbers": [4], "delay": 3600, "task_name": "later"}},
        {"type": "quick"},
        17,
        {"type": "quick", "payload": {"numbers": [5, 6]}},
    ]

    answer = await post(http, items)

    assert answer.status_code == 207
    body = answer.json()
    assert (body["accepted"], body["refused"], len(body["items"])) == (4, 4, 8)
    first, fetch, bad, unknown, later, bare, number, last = body["items"]
    assert (first["type"], first["status"], first["queue"]) == ("quick", "PENDING", "quick_tasks")
    assert (fetch["type"], fetch["queue"]) == ("api_fetch", "long_tasks")
    assert bad["problem"]["type"] == "/problems/invalid_request"
    assert bad["problem"]["errors"][0]["field"].startswith("payload.numbers[0]")
    assert unknown["problem"]["status"] == 404
    assert "'quick'" in unknown["problem"]["detail"]
    assert (later["status"], later["run_at"] is not None) == ("SCHEDULED", True)
    assert bare["problem"]["errors"][0]["field"] == "payload"
    assert number["problem"]["status"] == 422
    assert (await result(http, first["task_id"]))["result"]["sum"] == 6
    assert (await result(http, last["task_id"]))["result"]["sum"] == 11
    assert (await http.post(f"/tasks/{later['task_id']}/cancel")).status_code == 200


async def test_lines_are_items_too_and_a_broken_one_is_refused_alone(
    http: httpx2.AsyncClient,
) -> None:
    lines = [json.dumps(QUICK), "", "{broken", json.dumps(QUICK)]

    answer = await http.post(
        "/tasks/bulk",
        content="\r\n".join(lines),
        headers={"Content-Type": "application/x-ndjson; charset=utf-8"},
    )

    body = answer.json()
    assert (answer.status_code, body["accepted"]) == (207, 2)
    assert body["items"][1]["problem"]["type"] == "/problems/malformed_json"


async def test_hundreds_at_once_are_accepted_listed_and_ended(http: httpx2.AsyncClient) -> None:
    name = uuid4().hex
    items = [
        {"type": "quick", "payload": {"numbers": [number], "task_name": name}}
        for number in range(300)
    ]

    answer = await post(http, items)

    body = answer.json()
    assert (answer.status_code, body["accepted"], body["refused"]) == (202, 300, 0)
    assert len({item["task_id"] for item in body["items"]}) == 300
    for number in (0, 150, 299):
        ended = await result(http, body["items"][number]["task_id"])
        assert ended["result"]["sum"] == number


async def test_a_key_makes_its_item_one_task_also_within_one_request(
    http: httpx2.AsyncClient,
) -> None:
    keyed = QUICK | {"idempotency_key": uuid4().hex}

    first = (await post(http, [keyed, keyed])).json()["items"]
    again = (await post(http, [keyed])).json()["items"]
    other = await post(http, [keyed | {"payload": {"numbers": [9]}}])

    assert len({item["task_id"] for item in (*first, *again)}) == 1
    assert sorted(item["replayed"] for item in first if "replayed" in item) == [True]
    assert again[0]["replayed"] is True
    problem = other.json()["items"][0]["problem"]
    assert problem["type"] == "/problems/idempotency_key_reused"


INVALID, MALFORMED = "invalid_request", "malformed_json"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"[", "application/json", 400, "malformed_json"),
        (b"{}", "application/json", 422, "invalid_request"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b"\n\n", "application/x-ndjson", 422, "invalid_request"),
        (b"[{}]", "text/csv", 415, "unsupported_media_type"),
        (b"[{}]", "", 415, "unsupported_media_type"),  # as a page elsewhere could have it sent
        (b'[{"type": "quick", "id": 18446744073709551616}]', "application/json", 422, INVALID),
        (b"[" * 900 + b"]" * 900 + b"1234567890123456789", "application/json", 400, MALFORMED),
        (b"[" + b"1," * 10_000 + b"1]", "application/json", 413, "body_too_large"),
        (b"[" + b" " * 10_000_000 + b"]", "application/json", 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_none_is_refused_as_a_whole(
    http: httpx2.AsyncClient, content: bytes, content_type: str, status: int, code: str
) -> None:
    answer = await http.post("/tasks/bulk", content=content, headers={"Content-Type": content_type})

    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")


async def test_a_line_with_an_integer_that_cannot_be_kept_is_refused_alone(
    http: httpx2.AsyncClient,
) -> None:
    good = b'{"type": "quick", "payload": {"numbers": [1]}}'
    large = b'{"type": "quick", "payload": {"numbers": [18446744073709551616]}}'
    headers = {"Content-Type": "application/x-ndjson"}
    answer = await http.post("/tasks/bulk", content=good + b"\n" + large, headers=headers)

    assert (answer.status_code, answer.json()["accepted"]) == (207, 1)
    problem = answer.json()["items"][1]["problem"]
    assert "send it as a string" in problem["detail"]
