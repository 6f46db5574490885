"""`--numbers 1,2,3`: options of the command as fields of a payload, by the type's schema."""

from __future__ import annotations

import pytest
from pydantic import BaseModel
from stepline.cli.fields import payload_from
from stepline.contract import BatchRequest, ChainRequest, EmailRequest, LongRequest, QuickRequest

QUICK = QuickRequest.model_json_schema()


class Inner(BaseModel):
    x: int


class Own(BaseModel):
    flag: bool = False
    maybe: int | None = None
    names: list[str] = []
    inner: Inner | None = None
    either: int | str = 1


OWN = Own.model_json_schema()


@pytest.mark.parametrize(
    ("schema", "arguments", "payload"),
    [
        (QUICK, ["--numbers", "1,2,3"], {"numbers": [1, 2, 3]}),
        (QUICK, ["--numbers=1.5, -2"], {"numbers": [1.5, -2]}),
        (QUICK, ["--numbers", "[1, 2]"], {"numbers": [1, 2]}),
        (QUICK, [], {}),
        (LongRequest.model_json_schema(), ["--duration", "3"], {"duration": 3}),
        (BatchRequest.model_json_schema(), ["--user-ids", "101"], {"user_ids": [101]}),
        (
            EmailRequest.model_json_schema(),
            ["--recipient", "a@b.c", "--subject", "7", "--message=--x"],
            {"recipient": "a@b.c", "subject": "7", "message": "--x"},
        ),
        (
            ChainRequest.model_json_schema(),
            ["--request-type", "notification", "--data", '{"payload": {}}'],
            {"request_type": "notification", "data": {"payload": {}}},
        ),
        (
            ChainRequest.model_json_schema(),
            ["--handler-sequence", "export,notification"],
            {"handler_sequence": ["export", "notification"]},
        ),
        (OWN, ["--flag", "--maybe", "2"], {"flag": True, "maybe": 2}),
        (OWN, ["--flag", "false"], {"flag": False}),
        (OWN, ["--names", "a, b"], {"names": ["a", "b"]}),
        (OWN, ["--inner", '{"x": 1}'], {"inner": {"x": 1}}),
        (OWN, ["--either", "text"], {"either": "text"}),
        (OWN, ["--maybe", "null"], {"maybe": None}),
    ],
)
def test_options_become_fields(schema: dict, arguments: list[str], payload: dict) -> None:
    assert payload_from(arguments, schema) == payload


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--numbers"], "--numbers needs a value"),
        (["--numbers", "1,b"], "--numbers: 'b' is no integer or number"),
        (["--digits", "1"], "--digits: this type has no such field; it has --numbers"),
        (["numbers", "1"], "'numbers': fields are given as --name value"),
    ],
)
def test_what_fits_no_field_is_said_so(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        payload_from(arguments, QUICK)

    assert str(refused.value) == message
