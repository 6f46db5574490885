"""Errors on the wire."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from stepline.contract.base import Answer


class ProblemCode(StrEnum):
    """Every code that the API's problems have, as the last segment of `type`."""

    # the request
    BAD_REQUEST = "bad_request"
    BAD_HOST = "bad_host"
    BAD_IDEMPOTENCY_KEY = "bad_idempotency_key"
    MALFORMED_JSON = "malformed_json"
    INVALID_REQUEST = "invalid_request"
    INVALID_PAYLOAD = "invalid_payload"
    UNKNOWN_STEP = "unknown_step"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    BODY_TOO_LARGE = "body_too_large"
    NOT_ACCEPTABLE = "not_acceptable"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    # who asks
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    # what is asked for
    NOT_FOUND = "not_found"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    # the state that it is in
    CONFLICT = "conflict"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    ALREADY_ENDED = "already_ended"
    NOT_ENDED = "not_ended"
    ALREADY_RESOLVED = "already_resolved"
    ALREADY_OPEN = "already_open"
    NOT_SCHEDULED = "not_scheduled"
    NOT_REPLAYABLE = "not_replayable"
    CHECKPOINT_MISSING = "checkpoint_missing"
    UNKNOWN_NAME = "unknown_name"
    # not now
    TOO_MANY_REQUESTS = "too_many_requests"
    UNAVAILABLE = "unavailable"
    PUBLISH_UNCONFIRMED = "publish_unconfirmed"
    BROKER_ERROR = "broker_error"
    BROKER_UNAVAILABLE = "broker_unavailable"
    TOPOLOGY_MISMATCH = "topology_mismatch"
    UNROUTABLE = "unroutable"
    UNKNOWN_QUEUE = "unknown_queue"
    STALE_DELIVERY = "stale_delivery"
    STATE_UNAVAILABLE = "state_unavailable"
    DATABASE_UNAVAILABLE = "database_unavailable"
    EXPORTS_UNAVAILABLE = "exports_unavailable"
    # the service
    ERROR = "error"
    INTERNAL = "internal"


class FieldProblem(Answer):
    """One thing wrong with a request: where, what, and a stable code."""

    field: str
    message: str
    code: str


class Problem(Answer):
    """An RFC 9457 problem. `type` ends in the stable code."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: list[FieldProblem] = Field(default=[])
