"""How the API behaves: preferences, idempotency, and what it says to hostile input."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from stepline.client import Client

from tests.acceptance.conftest import Deployment
from tests.waiting import PATIENCE

QUICK = {"numbers": [1, 2, 3]}
PROBLEM = "application/problem+json"


def is_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == (f"/problems/{code}", status)
    assert body["title"]
    assert body["detail"]
    return body


async def test_respond_async_is_answered_at_once(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tasks/quick", json=QUICK, headers={"Prefer": "respond-async"})

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"


async def test_any_submission_can_be_waited_for(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tasks/batch", json={"user_ids": [1]}, headers={"Prefer": "wait=10"})

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=10"
    assert answer.json()["result"]["successfully_processed"] == 1


async def test_a_wait_that_is_too_short_ends_with_202(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/tasks/long", json={"duration": 60}, headers={"Prefer": "wait=1"})

    assert (answer.status_code, answer.json()["status"]) == (202, "PENDING")
    cancelled = await http.post(f"/tasks/{answer.json()['task_id']}/cancel")
    assert cancelled.status_code == 202


async def test_a_bad_end_within_the_wait_is_200_with_its_error(http: httpx2.AsyncClient) -> None:
    body = {
        "request_type": "data_validation",
        "chain_type": "validation_only",
        "data": {"payload": {}, "required_fields": ["name"]},
    }
    answer = await http.post("/chain/process", json=body, headers={"Prefer": "wait=10"})

    assert (answer.status_code, answer.json()["status"]) == (200, "FAILURE")
    assert answer.json()["error"]["code"] == "validation_failed"


async def test_one_key_makes_one_task_however_often_it_is_sent(http: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": '"order-1"', "Prefer": "respond-async"}
    first = await http.post("/tasks/quick", json=QUICK, headers=headers)
    again = await http.post("/tasks/quick", json=QUICK, headers=headers)

    assert first.json()["task_id"] == again.json()["task_id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


async def test_fifty_at_once_with_one_key_make_one_task(http: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "all-at-once"}
    answers = await asyncio.gather(
        *(http.post("/tasks/quick", json=QUICK, headers=headers) for _ in range(50))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert all(answer.json()["result"]["sum"] == 6 for answer in answers)


async def test_a_key_with_another_body_is_refused(http: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "order-2"}
    await http.post("/tasks/quick", json=QUICK, headers=headers)

    answer = await http.post("/tasks/quick", json={"numbers": [4]}, headers=headers)

    is_problem(answer, 422, "idempotency_key_reused")


async def test_two_keys_are_refused(http: httpx2.AsyncClient) -> None:
    headers = [("Idempotency-Key", "order-3"), ("Idempotency-Key", "order-4")]
    answer = await http.post("/tasks/quick", json=QUICK, headers=headers)

    is_problem(answer, 400, "bad_idempotency_key")


@pytest.mark.parametrize("key", ["", '""', "x" * 201, "tab\there"])
async def test_a_malformed_key_is_refused(http: httpx2.AsyncClient, key: str) -> None:
    answer = await http.post("/tasks/quick", json=QUICK, headers={"Idempotency-Key": key})

    is_problem(answer, 400, "bad_idempotency_key")


MALFORMED = {
    "not JSON": b"{numbers: [1]}",
    "cut off": b'{"numbers": [1',
    "NaN": b'{"numbers": [NaN]}',
    "infinity": b'{"numbers": [Infinity]}',
    "a lone surrogate": b'{"numbers": [1], "task_name": "\\ud800"}',
    "bytes that are no UTF-8": b'{"numbers": [1], "task_name": "\xff"}',
    "10,000 levels": b'{"numbers": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_no_json_is_told_so(http: httpx2.AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/tasks/quick", content=body, headers=headers)

    is_problem(answer, 400, "malformed_json")


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
async def test_a_body_that_does_not_say_it_is_json_is_415(
    http: httpx2.AsyncClient, kind: str | None
) -> None:
    """Also a form on some page elsewhere, which a browser would post here without asking."""
    headers = {} if kind is None else {"Content-Type": kind}
    answer = await http.post("/tasks/quick", content=b'{"numbers": [1]}', headers=headers)

    is_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/x.numbers+json"])
async def test_json_by_any_of_its_names_is_taken(http: httpx2.AsyncClient, kind: str) -> None:
    headers = {"Content-Type": kind}
    answer = await http.post("/tasks/quick", content=b'{"numbers": [1]}', headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 300]
)
async def test_no_integer_becomes_another_number(http: httpx2.AsyncClient, number: str) -> None:
    """Not even deep inside of a payload, where no schema says what a number is."""
    body = f'{{"request_type": "data_validation", "data": {{"payload": {{"id": [{number}]}}}}}}'
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/chain/process", content=body, headers=headers)

    problem = is_problem(answer, 422, "invalid_request")
    assert "send it as a string" in problem["detail"]


async def test_the_largest_integers_come_back_as_they_were(http: httpx2.AsyncClient) -> None:
    payload = {"most": 2**64 - 1, "least": -(2**63), "text": "12345678901234567890123", "f": 1e30}
    body = {
        "request_type": "data_validation",
        "chain_type": "validation_only",
        "data": {"payload": payload},
    }
    answer = await http.post("/chain/process", json=body, headers={"Prefer": "wait=10"})

    assert answer.json()["result"]["original_data"]["payload"] == payload


async def test_deep_nesting_that_still_is_json_is_refused(http: httpx2.AsyncClient) -> None:
    payload: Any = {}
    for _ in range(500):
        payload = {"a": payload}
    body = {"request_type": "data_validation", "data": {"payload": payload}}
    answer = await http.post("/chain/process", json=body)

    is_problem(answer, 400, "bad_request")


INVALID = {
    "no number at all": ("/tasks/quick", {"numbers": []}, "numbers"),
    "a text for a number": ("/tasks/quick", {"numbers": ["1"]}, "numbers[0]"),
    "a truth for a number": ("/tasks/quick", {"numbers": [True]}, "numbers[0]"),
    "an unknown field": ("/tasks/quick", {"numbers": [1], "extra": 1}, "extra"),
    "a missing field": ("/tasks/email", {"recipient": "a@b.com", "subject": "s"}, "message"),
    "no duration": ("/tasks/long", {"duration": 0}, "duration"),
    "too long": ("/tasks/long", {"duration": 86_401}, "duration"),
    "a truth for a duration": ("/tasks/long", {"duration": True}, "duration"),
    "a text for a duration": ("/tasks/long", {"duration": "30"}, "duration"),
    "a truth for a delay": ("/tasks/quick", {"numbers": [1], "delay": True}, "delay"),
    "a bare number for a time": ("/tasks/quick", {"numbers": [1], "run_at": 1900000000}, "run_at"),
    "a number as text for a time": (
        "/tasks/quick",
        {"numbers": [1], "deadline": "1900000000"},
        "deadline",
    ),
    "a time without its zone": (
        "/tasks/quick",
        {"numbers": [1], "run_at": "2030-01-01T00:00:00"},
        "run_at",
    ),
    "a text for a length": (
        "/chain/process",
        {
            "request_type": "data_validation",
            "data": {"payload": {}, "validation_rules": {"a": {"min_length": "2"}}},
        },
        "data.validation_rules.a.min_length",
    ),
    "a text for a truth": (
        "/chain/process",
        {
            "request_type": "data_export",
            "data": {"payload": {}, "export_config": {"flatten": "yes"}},
        },
        "data.export_config.flatten",
    ),
    "no address": (
        "/tasks/email",
        {"recipient": "nobody", "subject": "s", "message": "m"},
        "recipient",
    ),
    "a header smuggled in": (
        "/tasks/email",
        {"recipient": "a@company.com", "subject": "s\r\nBcc: x@y.com", "message": "m"},
        "subject",
    ),
    "a header smuggled in behind another kind of line break": (
        "/tasks/email",
        {"recipient": "a@company.com", "subject": "s\u2028Bcc: x@y.com", "message": "m"},
        "subject",
    ),
    "no user": ("/tasks/batch", {"user_ids": []}, "user_ids"),
    "no url": ("/tasks/api-fetch", {"urls": []}, "urls"),
    "a name that ends in a space": (
        "/users/",
        {"username": "alice ", "email": "a@company.com"},
        "username",
    ),
    "an unknown request type": (
        "/chain/process",
        {"request_type": "nope", "data": {"payload": {}}},
        "request_type",
    ),
    "an unknown chain type": (
        "/chain/process",
        {"request_type": "data_export", "chain_type": "nope", "data": {"payload": {}}},
        "chain_type",
    ),
    "an unknown handler": (
        "/chain/dynamic",
        {"request_type": "data_export", "data": {"payload": {}}, "handler_sequence": ["nope"]},
        "handler_sequence[0]",
    ),
    "no handler": (
        "/chain/dynamic",
        {"request_type": "data_export", "data": {"payload": {}}, "handler_sequence": []},
        "handler_sequence",
    ),
    "an unknown rule": (
        "/chain/process",
        {
            "request_type": "data_validation",
            "data": {"payload": {}, "validation_rules": {"a": {"minimum": 1}}},
        },
        "data.validation_rules.a.minimum",
    ),
    "a payload that is no object": (
        "/chain/process",
        {"request_type": "data_validation", "data": {"payload": 5}},
        "data.payload",
    ),
}


@pytest.mark.parametrize(("path", "body", "field"), INVALID.values(), ids=INVALID.keys())
async def test_what_is_wrong_is_named(
    http: httpx2.AsyncClient, path: str, body: Any, field: str
) -> None:
    problem = is_problem(await http.post(path, json=body), 422, "invalid_request")

    assert any(error["field"].startswith(field) for error in problem["errors"]), problem
    assert all(error["message"] and error["code"] for error in problem["errors"])


async def test_a_body_beyond_the_limit_is_cut_off_while_it_comes(http: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        yield b'{"numbers": ['
        while sent < 200_000_000:
            sent += 1_000_000
            yield b"1," * 500_000

    try:
        answer = await http.post(
            "/tasks/quick", content=endless(), headers={"Content-Type": "application/json"}
        )
        is_problem(answer, 413, "body_too_large")
    except httpx2.TransportError:
        pass  # the server may hang up while we still send
    assert sent < 100_000_000


async def test_a_declared_length_beyond_the_limit_is_refused_unread(
    http: httpx2.AsyncClient,
) -> None:
    body = json.dumps({"numbers": [1] * 5_000_000}).encode()
    answer = await http.post(
        "/tasks/quick", content=body, headers={"Content-Type": "application/json"}
    )

    is_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    "path",
    [
        "/tasks/nope/status",
        "/tasks/nope/result",
        "/tasks/nope/events",
        "/users/99999",
        "/exports/nope.json",
        "/exports/..%2f..%2fetc%2fpasswd",
        "/nowhere",
    ],
)
async def test_what_is_not_there_is_404(http: httpx2.AsyncClient, path: str) -> None:
    is_problem(await http.get(path), 404, "not_found")


async def test_a_wrong_method_is_told(http: httpx2.AsyncClient) -> None:
    is_problem(await http.delete("/tasks/quick"), 405, "method_not_allowed")


async def test_a_host_that_is_not_ours_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/health/live", headers={"Host": "evil.example"})

    is_problem(answer, 400, "bad_host")


async def raw(deployment: Deployment, head: bytes) -> bytes:
    """What comes back for these bytes, sent as they are."""
    host, _, port = deployment.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for start in range(0, len(head), 10_000):
            writer.write(head[start : start + 10_000])
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:  # it may hang up while we still send
        return b"HTTP/1.1 431 "
    finally:
        writer.close()


async def test_two_hosts_are_refused(deployment: Deployment) -> None:
    """A proxy before the service may have gone by the other one."""
    ours = deployment.url.removeprefix("http://").encode()
    head = b"GET /health/live HTTP/1.1\r\nHost: %b\r\nHost: evil.example\r\n" % ours
    answer = await raw(deployment, head + b"Connection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"/problems/bad_host" in answer


async def test_a_head_without_end_is_cut_off(deployment: Deployment) -> None:
    endless = b"GET /health/live HTTP/1.1\r\nX-Endless: " + b"a" * 1_000_000

    assert (await raw(deployment, endless)).startswith(b"HTTP/1.1 431 ")


async def test_every_answer_has_a_request_id(http: httpx2.AsyncClient) -> None:
    mine = await http.get("/health/live", headers={"X-Request-ID": "abc-123"})
    made = await http.get("/health/live", headers={"X-Request-ID": "bad\tid"})

    assert mine.headers["x-request-id"] == "abc-123"
    assert len(made.headers["x-request-id"]) == 32


async def test_hostile_names_come_back_as_they_were(
    client: Client, http: httpx2.AsyncClient
) -> None:
    name = "<img src=x onerror=alert(1)> 🚀 'DROP TABLE"
    task = await client.submit("quick", {"numbers": [1], "task_name": name})

    await task.wait(timeout=PATIENCE)

    assert (await http.get(f"/tasks/{task.id}/status")).json()["task_name"] == name
