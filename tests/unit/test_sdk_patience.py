"""What the client repeats, and when: never what might then be done twice."""

from __future__ import annotations

import httpx2
import pytest
from stepline.client.patience import backoff, pause_before_repeat
from stepline.errors import (
    BadRequest,
    ClientError,
    Conflict,
    ConnectionFailed,
    NotFound,
    ServerError,
    Unavailable,
)

REQUEST = httpx2.Request("POST", "http://service/")


def lost(kind: type[httpx2.TransportError]) -> ConnectionFailed:
    failure = ConnectionFailed("lost")
    failure.__cause__ = kind("lost", request=REQUEST)
    return failure


def unavailable(status: int, code: str, retry_after: float | None = None) -> Unavailable:
    return Unavailable("not now", status=status, code=code, retry_after=retry_after)


NEVER_ARRIVED = [
    lost(httpx2.ConnectError),
    lost(httpx2.ConnectTimeout),
    unavailable(429, "too_many_requests"),
]
UNKNOWN = [
    lost(httpx2.ReadError),
    lost(httpx2.ReadTimeout),
    lost(httpx2.RemoteProtocolError),
    unavailable(503, "publish_unconfirmed"),
    unavailable(502, "http_error"),
    Conflict("our own first try is still under way", status=409, code="idempotency_conflict"),
]
FINAL = [
    BadRequest("no", status=422, code="invalid_request"),
    NotFound("no", status=404, code="not_found"),
    Conflict("no", status=409, code="already_ended"),
    ServerError("no", status=500, code="internal"),
]


@pytest.mark.parametrize("failure", NEVER_ARRIVED, ids=repr)
def test_what_never_arrived_is_repeated_whatever_it_was(failure: ClientError) -> None:
    for repeatable in (True, False):
        pause = pause_before_repeat(failure, repeatable=repeatable, tries=1, left=30.0)
        assert pause is not None


@pytest.mark.parametrize("failure", UNKNOWN, ids=repr)
def test_what_may_have_been_done_is_repeated_only_if_that_does_no_harm(
    failure: ClientError,
) -> None:
    assert pause_before_repeat(failure, repeatable=True, tries=1, left=30.0) is not None
    assert pause_before_repeat(failure, repeatable=False, tries=1, left=30.0) is None


@pytest.mark.parametrize("failure", FINAL, ids=repr)
def test_what_will_not_get_better_is_not_repeated(failure: ClientError) -> None:
    assert pause_before_repeat(failure, repeatable=True, tries=1, left=30.0) is None


def test_retry_after_is_waited_for_and_a_little_more_so_that_not_all_come_at_once() -> None:
    failure = unavailable(503, "state_unavailable", retry_after=4.0)

    pauses = [pause_before_repeat(failure, repeatable=True, tries=1, left=30.0) for _ in range(100)]

    assert all(pause is not None and 4.0 <= pause <= 5.0 for pause in pauses)
    assert len(set(pauses)) > 50


def test_who_has_no_patience_left_gets_the_error() -> None:
    failure = unavailable(503, "state_unavailable", retry_after=4.0)

    assert pause_before_repeat(failure, repeatable=True, tries=1, left=3.9) is None
    assert pause_before_repeat(lost(httpx2.ConnectError), repeatable=True, tries=1, left=0) is None


def test_pauses_double_up_to_a_limit_with_jitter() -> None:
    for tries, whole in ((1, 0.2), (2, 0.4), (5, 3.2), (6, 5.0), (1000, 5.0)):
        pauses = [backoff(tries) for _ in range(200)]
        assert all(whole / 2 <= pause <= whole for pause in pauses)
        assert max(pauses) - min(pauses) > whole / 4
