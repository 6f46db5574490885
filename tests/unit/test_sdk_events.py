"""Events as the SDK gives them: a model for each kind, and none for kinds of tomorrow."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter, ValidationError
from stepline.contract import Event, EventKind, FeedEvent, ServiceEventKind
from stepline.contract.events import (
    MODELS,
    SERVICE_MODELS,
    LogLine,
    Reset,
    StepProgress,
    Succeeded,
    parse_event,
    parse_feed_event,
)

BASE = {"task_id": "t", "attempt": 1, "at": "2026-11-25T10:00:00.000000Z"}
STEP = BASE | {"handler": "export", "index": 2}


def data(kind: str, **fields: object) -> str:
    return json.dumps(STEP | {"kind": kind} | fields)


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind is not EventKind.RESET])
def test_every_kind_has_its_model(kind: EventKind) -> None:
    event = parse_event(kind, data(kind), "1-2")

    assert event is not None
    assert type(event) is MODELS[kind]
    assert (event.kind, event.id, event.task_id) == (kind, "1-2", "t")
    assert event.terminal is kind.terminal


def test_a_kind_is_not_left_out_of_the_unions() -> None:
    for adapter, models in (
        (TypeAdapter(Event), MODELS),
        (TypeAdapter(FeedEvent), MODELS | SERVICE_MODELS),
    ):
        mapping = adapter.json_schema()["discriminator"]["mapping"]
        assert set(mapping) == {*models, EventKind.RESET}
    assert set(SERVICE_MODELS) == set(ServiceEventKind)


def test_what_an_event_says_is_typed() -> None:
    progress = parse_event(
        "step.progress", data("step.progress", current=3, total=4, percent=75), ""
    )
    assert isinstance(progress, StepProgress)
    assert (progress.handler, progress.index, progress.percent) == ("export", 2, 75.0)
    line = parse_event("log", data("log", message="m", data={"rows": 3}), "")
    assert isinstance(line, LogLine)
    assert (line.message, line.data) == ("m", {"rows": 3})
    fed = parse_feed_event(
        "succeeded", data("succeeded", type="quick", queue="quick_tasks"), "9-0:1"
    )
    assert isinstance(fed, Succeeded)
    assert (fed.type, fed.queue, fed.id) == ("quick", "quick_tasks", "9-0:1")


def test_what_a_newer_service_adds_does_no_harm() -> None:
    assert parse_event("step.dreamt", data("step.dreamt"), "1-3") is None
    assert parse_feed_event("queue.dreamt", data("queue.dreamt"), "1-3") is None
    event = parse_event("succeeded", data("succeeded", mood="good"), "1-3")
    assert isinstance(event, Succeeded)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse_event("succeeded", "{}", "1-3")
    with pytest.raises(ValidationError):
        TypeAdapter(Event).validate_python({"kind": "no such kind"})


def test_a_reset_ends_the_stream_if_its_task_has_ended() -> None:
    snapshot = {
        "task_id": "t",
        "type": "quick",
        "status": "SUCCESS",
        "message": "",
        "progress": {"current": 1},
        "steps": [],
        "attempt": 1,
        "queue": "q",
        "created_at": BASE["at"],
        "updated_at": BASE["at"],
        "links": {"self": "", "status": "", "result": "", "events": ""},
    }
    assert Reset.model_validate({"snapshot": snapshot}).terminal
    assert not Reset.model_validate({"snapshot": snapshot | {"status": "RUNNING"}}).terminal
