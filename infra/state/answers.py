"""What Redis answered, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from stepline.contract import Status

from infra.cancellation import Cancellation
from infra.codec import loads, moment
from infra.state.models import (
    CancelRequested,
    Claim,
    Closed,
    Early,
    Ended,
    Expired,
    Held,
    Missing,
    StoredEvent,
    TaskState,
    Yours,
    parse_event_id,
)

SAVE = "save:"
"""Begins the field of what a step saved of its own; the other fields are `index:handler`."""


def text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def pairs(flat: Any) -> dict[bytes, bytes]:
    """HGETALL as RESP2 gives it, or as a map."""
    if isinstance(flat, dict):
        return flat
    return dict(zip(flat[::2], flat[1::2], strict=True))


def read_claim(answer: list[Any], token: str) -> Claim:
    if answer[0] == b"yours":
        return _read_yours(answer, token)
    read: dict[str, Callable[[], Claim]] = {
        "missing": Missing,
        "ended": lambda: Ended(Status(text(answer[1]))),
        "cancelled": lambda: CancelRequested(Cancellation.from_json(loads(answer[1]))),
        "expired": lambda: Expired(float(answer[1]) / 1000),
        "early": lambda: Early(float(answer[1]) / 1000),
        "held": lambda: Held(text(answer[1]), text(answer[2]), int(answer[3])),
    }
    return read[text(answer[0])]()


def read_end(answer: list[Any]) -> Missing | Ended | Held | Closed:
    kind = text(answer[0])
    if kind == "closed":
        return Closed(parse_event_id(text(answer[1])))
    if kind == "held":
        return Held(text(answer[1]), text(answer[2]), int(answer[3]))
    return Missing() if kind == "missing" else Ended(Status(text(answer[1])))


def read_steps(
    flat: Any,
) -> tuple[dict[tuple[int, str], bytes], dict[int, bytes]]:
    """The checkpoints by (index, handler), and what steps saved of their own by index."""
    outputs: dict[tuple[int, str], bytes] = {}
    saved: dict[int, bytes] = {}
    for raw_field, value in pairs(flat).items():
        field = text(raw_field)
        if field.startswith(SAVE):
            saved[int(field.removeprefix(SAVE))] = value
        else:
            index, _, handler = field.partition(":")
            outputs[int(index), handler] = value
    return outputs, saved


def read_entry(entry_id: bytes | str, fields: Any) -> list[StoredEvent]:
    """The events of one entry of a task's stream: kinds and JSON texts in turn, and the id of the
    last one."""
    attempt, last = parse_event_id(text(entry_id))
    if fields[0] in (b"k", "k"):  # of a version that wrote each by itself: k kind d json
        return [StoredEvent((attempt, last), text(fields[1]), fields[3])]
    count = len(fields) // 2
    return [
        StoredEvent((attempt, last - count + 1 + i), text(fields[2 * i]), fields[2 * i + 1])
        for i in range(count)
    ]


def _read_yours(answer: list[Any], token: str) -> Yours:
    outputs, saved = read_steps(answer[6])
    return Yours(
        token=token,
        attempt=int(answer[1]),
        failures=int(answer[2]),
        losses=int(answer[3]),
        started_at=moment(text(answer[4])),
        taken_over=bool(answer[5]),
        outputs=outputs,
        saved=saved,
    )


def read_task(raw: dict[bytes, bytes]) -> TaskState | None:
    if not raw:
        return None
    fields = {key.decode(): value.decode() for key, value in raw.items()}

    def when(name: str) -> datetime | None:
        return moment(fields[name]) if name in fields else None

    def parsed(name: str) -> Any:
        return loads(fields[name]) if name in fields else None

    return TaskState(
        id=fields["id"],
        type=fields["type"],
        queue=fields["queue"],
        status=Status(fields["status"]),
        handlers=loads(fields["handlers"]),
        created_at=moment(fields["created_at"]),
        updated_at=moment(fields["updated_at"]),
        name=fields.get("name"),
        attempt=int(fields.get("attempt", 0)),
        failures=int(fields.get("failures", 0)),
        holder=fields.get("holder") or None,  # empty: it was let go
        worker=fields.get("worker") or fields.get("holder") or None,
        started_at=when("started_at"),
        finished_at=when("finished_at"),
        not_before=float(fields.get("not_before", 0)) / 1000,
        run_at=float(fields.get("run_at", 0)) / 1000,
        deadline=float(fields.get("deadline", 0)) / 1000,
        retry_of=fields.get("retry_of"),
        from_step=int(fields.get("from_step", 0)),
        step=int(fields["step"]) if "step" in fields else None,
        progress=parsed("progress"),
        result=parsed("result"),
        error=parsed("error"),
        last=parse_event_id(fields.get("last", "0-0")),
    )
