"""Every error that Stepline raises on purpose, with its stable code.

SteplineError
├── HandlerError                 raised inside a handler, read by the engine
│   ├── Retry                    try this step again, after a while
│   └── Reject                   never try again: the input or the world says no
└── ClientError                  raised by the SDK's client
    ├── APIError                 the server answered with problem+json
    │   ├── BadRequest           400, 413, 415, 422
    │   ├── NotFound             404
    │   ├── Conflict             409
    │   ├── Unauthorized         401, 403
    │   └── Unavailable          429, 503: safe to try again, see `retry_after`
    ├── TaskFailed               the task ended with FAILURE or CANCELLED
    ├── WaitTimeout              the task had not ended in the time given
    └── ConnectionFailed         no answer came at all
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SteplineError(Exception):
    """Root of the tree. `code` is stable: match on it, never on the text."""

    code: str = "error"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message or self.__class__.__name__)
        if code is not None:
            self.code = code

    @property
    def message(self) -> str:
        return str(self.args[0])


class HandlerError(SteplineError):
    """What a handler raises to tell the engine what to do next."""


class Retry(HandlerError):
    """A transient failure: the step runs again.

    `delay` in seconds overrides the policy's backoff; the policy's limit of attempts still holds.
    `output` is what the step has to show if this was its last attempt.
    """

    code = "retry"

    def __init__(
        self,
        message: str = "",
        *,
        delay: float | None = None,
        code: str | None = None,
        output: Any = None,
    ) -> None:
        super().__init__(message, code=code)
        self.delay = delay
        self.output = output


class Reject(HandlerError):
    """A permanent failure: the task ends with FAILURE and this code, without another attempt.

    `output` is what the step has to show all the same (a report, say); the task's result is built
    with it. `details` go into the task's `error`.
    """

    code = "rejected"

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        output: Any = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.output = output
        self.details = dict(details or {})


class ClientError(SteplineError):
    """What the SDK's client raises."""

    code = "client_error"


class APIError(ClientError):
    """The server's problem+json, as an exception.

    `status` is the HTTP status, `code` the last segment of the problem's `type`, `errors` its
    field-level errors (`field`, `message`, `code`), `retry_after` seconds if the server named any.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        errors: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.errors = list(errors)
        self.retry_after = retry_after


class BadRequest(APIError):
    """The request cannot be taken as it is."""


class NotFound(APIError):
    """No such thing."""


class Conflict(APIError):
    """The thing is in a state that does not allow this."""


class Unauthorized(APIError):
    """No key, or not a valid one."""


class Unavailable(APIError):
    """Not now. Nothing is known to be lost: try again after `retry_after` seconds."""


class TaskFailed(ClientError):
    """The task ended badly; `code` is the task's own error code."""

    def __init__(self, message: str, *, code: str, task_id: str, status: str) -> None:
        super().__init__(message, code=code)
        self.task_id = task_id
        self.status = status


class WaitTimeout(ClientError):
    """The task was still going on when the time given was up."""

    code = "wait_timeout"


class ConnectionFailed(ClientError):
    """The server could not be reached, or went away in mid-answer."""

    code = "connection_failed"
