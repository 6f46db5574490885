"""A submission on the wire: where it goes, its body and its headers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypedDict
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel

from stepline.authoring import TaskType
from stepline.contract import (
    BatchRequest,
    ChainBatchRequest,
    ChainRequest,
    DynamicChainRequest,
    EmailRequest,
    FetchRequest,
    LongRequest,
    Named,
    QuickRequest,
)

TYPES: dict[type[Named], str] = {
    LongRequest: "long",
    QuickRequest: "quick",
    EmailRequest: "email",
    BatchRequest: "batch",
    FetchRequest: "api_fetch",
    ChainRequest: "chain",
    DynamicChainRequest: "chain_dynamic",
    ChainBatchRequest: "chain_batch",
}
"""The task type of each built-in request."""

PATHS = {
    "chain": "/chain/process",
    "chain_batch": "/chain/batch",
    "chain_dynamic": "/chain/dynamic",
}
"""Where a type's submissions go, when not to `/tasks/<type>`."""

LONGEST_WAIT = 30
"""Seconds: as long as the server waits at most."""

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""

Payload: TypeAlias = BaseModel | Mapping[str, Any]

Submittable: TypeAlias = Named | tuple[str | TaskType, Payload]
"""A request model, or a type and its payload."""


class SubmitOptions(TypedDict, total=False):
    """What every submission may say beside its payload.

    `task_name` is for people. It starts after `delay` or at `run_at`, and not at all after
    `expires_in` or `deadline`. `wait`: seconds (at most 30, whole ones) that the server may hold
    the answer back for the task's end. `idempotency_key`: the same key and payload always give the
    same task, for 24 hours; without one, each call has a key of its own.

    Examples:
        >>> from datetime import timedelta
        >>> options = SubmitOptions(task_name="nightly", delay=timedelta(hours=1), expires_in=7200)
        >>> task = await client.submit("quick", {"numbers": [1]}, **options)
        >>> (await task.status()).status.value
        'SCHEDULED'
    """

    task_name: str
    delay: Duration
    run_at: datetime
    expires_in: Duration
    deadline: datetime
    wait: float
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission, ready to be sent (again)."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def headers_of(wait: float, idempotency_key: str | None) -> dict[str, str]:
    """What makes a submission safe to repeat: a key, one that nobody else has unless given."""
    prefer = f"wait={min(math.ceil(wait), LONGEST_WAIT)}" if wait > 0 else "respond-async"
    return {"Prefer": prefer, "Idempotency-Key": idempotency_key or uuid4().hex}


def item_of(item: Submittable, options: SubmitOptions) -> dict[str, Any]:
    """One of many submissions in one request, with a key of its own. Raises as `submission_of`."""
    what, payload = (item, None) if isinstance(item, Named) else item
    name = (
        _type_of(what) if isinstance(what, Named) else what if isinstance(what, str) else what.name
    )
    submission = submission_of(what, payload, options)
    body = submission.body
    if name == "chain_dynamic":
        name, body = "chain", {**body, "chain_type": "dynamic"}
    return {"type": name, "payload": body, "idempotency_key": submission.headers["Idempotency-Key"]}


def submission_of(
    what: str | TaskType | Named, payload: Payload | None, options: SubmitOptions
) -> Submission:
    """Raises `TypeError` or `ValueError` for what cannot be sent."""
    name = _type_of(what)
    if isinstance(what, Named):
        if payload is not None:
            raise TypeError("a request model is its own payload: submit(QuickRequest(…))")
        payload = what
    if payload is None:
        raise TypeError(f"submit({name!r}, …): the payload is missing")
    path = PATHS.get(name, f"/tasks/{quote(name.replace('_', '-'), safe='')}")
    headers = headers_of(options.get("wait", 0.0), options.get("idempotency_key"))
    return Submission(path, {**dumped(payload), **_fields(options)}, headers)


def _type_of(what: str | TaskType | Named) -> str:
    if not isinstance(what, Named):
        return what if isinstance(what, str) else what.name
    for model, name in TYPES.items():
        if isinstance(what, model):
            return name
    raise TypeError(f"{type(what).__name__} is no built-in request: name its type as well")


def dumped(payload: Payload) -> dict[str, Any]:
    """As JSON-able fields; those that were not given are left to the server."""
    if isinstance(payload, BaseModel):
        return payload.model_dump(mode="json", exclude_unset=True)
    return dict(payload)


def _fields(options: SubmitOptions) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if (name := options.get("task_name")) is not None:
        fields["task_name"] = name
    if (duration := options.get("delay")) is not None:
        fields["delay"] = _seconds(duration)
    if (duration := options.get("expires_in")) is not None:
        fields["expires_in"] = _seconds(duration)
    if (moment := options.get("run_at")) is not None:
        fields["run_at"] = instant(moment, "run_at")
    if (moment := options.get("deadline")) is not None:
        fields["deadline"] = instant(moment, "deadline")
    return fields


def _seconds(duration: Duration) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def instant(moment: datetime, name: str) -> str:
    """RFC 3339. Raises `ValueError` for a time without a zone: it would be anyone's guess."""
    if moment.tzinfo is None:
        raise ValueError(f"{name}: give it a time zone, as datetime.now(UTC) has")
    return moment.isoformat()
