"""Failures of one cause have one fingerprint, whatever stands in their texts."""

from __future__ import annotations

import pytest

from infra.history.fingerprint import LENGTH, fingerprint, normalised


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no 'apples' for \"order\" 4711", "no <text> for <text> <n>"),
        ("GET https://example.com/a?b=1 answered 503", "GET <url> answered <n>"),
        ("refused by ada.l@example.co.uk", "refused by <email>"),
        ("task 01a214f4-6dc6-76da-96d1-0693245c743c is gone", "task <id> is gone"),
        ("object at 0x7f3a2b1c", "object at <id>"),
        ("took 12.5 s, at 10:22:33", "took <n> s, at <n>"),
        ("the facade decayed", "the facade decayed"),
        ("键 '名字' 不存在", "键 <text> 不存在"),
    ],
)
def test_what_differs_from_time_to_time_is_left_out(message: str, expected: str) -> None:
    assert normalised(message) == expected


def test_a_message_is_bounded() -> None:
    assert len(normalised("x" * 10_000)) == LENGTH


def test_another_type_code_handler_or_text_is_another_cause() -> None:
    error = {"code": "a", "handler": "h", "message": "no 1"}
    others = [
        fingerprint("other", error),
        *(fingerprint("quick", error | {name: "x"}) for name in error),
    ]

    assert fingerprint("quick", error | {"message": "no 2"}) == fingerprint("quick", error)
    assert len({fingerprint("quick", error), *others}) == 5
