"""Every error that Stepline raises on purpose, with its stable `code`.

SteplineError
├── HandlerError          raised inside a handler, read by the engine
│   ├── Retry             try this step again, after a while               retry
│   └── Reject            never again: the input or the world says no      rejected
└── ClientError           raised by the SDK's client
    ├── APIError          the server answered with a problem; its code
    │   ├── BadRequest    400 405 406 413 415 416 422: as it is, it will never do
    │   ├── Unauthorized  401 403: no key, a wrong one, or not for this
    │   ├── NotFound      404: there is no such thing
    │   ├── Conflict      409: the thing is in a state that does not allow this
    │   ├── Unavailable   429 503: not now; repeated by itself first, see `retry_after`
    │   └── ServerError   500 and what else is the server's fault
    ├── ConnectionFailed  no answer came                                   connection_failed
    ├── InvalidAnswer     an answer came that is none of Stepline's        invalid_answer
    ├── WaitTimeout       the task had not ended in the time given         wait_timeout
    └── TaskFailed        the task ended with FAILURE; the task's own error code
        └── TaskCancelled the task was cancelled                           cancelled

The codes of an `APIError` are those of `stepline.contract.ProblemCode`; a handler's own codes come
back in `TaskFailed.code`.

Examples:
    >>> try:
    ...     raise NotFound("There is no task 7.", status=404, code="not_found")
    ... except SteplineError as error:
    ...     print(error.code, error.message)
    not_found There is no task 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepline.contract import TaskResult


class SteplineError(Exception):
    """Root of the tree. `code` is stable: match on it, never on the text.

    Examples:
        >>> SteplineError("why", code="my_code").code
        'my_code'
    """

    code: str = "error"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message or self.__class__.__name__)
        if code is not None:
            self.code = code

    @property
    def message(self) -> str:
        return str(self.args[0])


class HandlerError(SteplineError):
    """What a handler raises to tell the engine what to do next.

    Examples:
        >>> issubclass(Retry, HandlerError) and issubclass(Reject, HandlerError)
        True
    """


class Retry(HandlerError):
    """A transient failure: the step runs again.

    `delay` in seconds overrides the policy's backoff; the policy's limit of attempts still holds.
    `output` is what the step has to show if this was its last attempt.

    Examples:
        >>> raise Retry("the mail server is busy", delay=30)
        Traceback (most recent call last):
        ...
        stepline.errors.Retry: the mail server is busy
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

    Examples:
        >>> error = Reject("row 7 has no date", code="bad_rows", details={"rows": [7]})
        >>> error.code, error.details
        ('bad_rows', {'rows': [7]})
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
    """What the SDK's client raises.

    Examples:
        >>> try:
        ...     await client.task("no-such-task").status()
        ... except ClientError as error:
        ...     print(error.code)
        not_found
    """

    code = "client_error"


class APIError(ClientError):
    """The server's problem+json, as an exception.

    `status` is the HTTP status, `code` the last segment of the problem's `type`, `errors` its
    field-level errors (`field`, `message`, `code`), `retry_after` seconds if the server named any.

    Examples:
        >>> try:
        ...     await client.submit("quick", {"numbers": []})
        ... except APIError as error:
        ...     print(error.status, error.code, error.errors[0]["field"])
        422 invalid_request numbers
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
    """The request cannot be taken as it is: `errors` names the fields.

    Examples:
        >>> try:
        ...     await client.submit("quick", {"numbers": ["one"]})
        ... except BadRequest as error:
        ...     print(error.code)
        invalid_request
    """


class Unauthorized(APIError):
    """No key, not a valid one, or not for this.

    Examples:
        >>> Unauthorized("Send a key.", status=401, code="unauthorized").status
        401
    """


class NotFound(APIError):
    """No such thing.

    Examples:
        >>> try:
        ...     await client.submit("no_such_type", {})
        ... except NotFound as error:
        ...     print(error.code)
        unknown_task_type
    """


class Conflict(APIError):
    """The thing is in a state that does not allow this.

    Examples:
        >>> try:
        ...     await task.cancel()  # it has ended
        ... except Conflict as error:
        ...     print(error.code)
        already_ended
    """


class Unavailable(APIError):
    """Not now. Nothing is known to be lost: try again after `retry_after` seconds.

    Examples:
        >>> error = Unavailable("Not now.", status=503, code="state_unavailable", retry_after=1)
        >>> error.retry_after
        1
    """


class ServerError(APIError):
    """Something broke in the service; its log has more.

    Examples:
        >>> ServerError("Something broke here.", status=500, code="internal").code
        'internal'
    """


class ConnectionFailed(ClientError):
    """The server could not be reached, or went away in mid-answer.

    Examples:
        >>> async with Client("http://127.0.0.1:9", patience=0) as nobody:
        ...     try:
        ...         await nobody.health()
        ...     except ConnectionFailed as error:
        ...         print(error.code)
        connection_failed
    """

    code = "connection_failed"


class InvalidAnswer(ClientError):
    """What came is no answer of Stepline's: another server, or a proxy, may be speaking.

    Examples:
        >>> InvalidAnswer("no TaskStatus in the answer").code
        'invalid_answer'
    """

    code = "invalid_answer"


class WaitTimeout(ClientError):
    """The task was still going on when the time given was up. It goes on.

    Examples:
        >>> later = await client.submit("quick", {"numbers": [1]}, delay=3600)
        >>> try:
        ...     await later.wait(timeout=0.1)
        ... except WaitTimeout as error:
        ...     print(error.code)
        wait_timeout
    """

    code = "wait_timeout"


class TaskFailed(ClientError):
    """The task ended badly; `code` is the task's own error code.

    `ended` is all about the end: `ended.result` is what the task has to show all the same (the
    report of a validation, say), `ended.error.details` what its handler gave.

    Examples:
        >>> data = {"payload": {"name": ""}, "required_fields": ["email"]}
        >>> kind = {"request_type": "data_validation", "chain_type": "validation_only"}
        >>> failing = await client.submit("chain", kind | {"data": data})
        >>> try:
        ...     await failing.wait()
        ... except TaskFailed as error:
        ...     print(error.code, error.ended.result["errors"][0]["field"])
        validation_failed email
    """

    def __init__(self, message: str, *, code: str, ended: TaskResult) -> None:
        super().__init__(message, code=code)
        self.ended = ended

    @property
    def task_id(self) -> str:
        return self.ended.task_id

    @property
    def status(self) -> str:
        return self.ended.status


class TaskCancelled(TaskFailed):
    """The task was cancelled.

    Examples:
        >>> later = await client.submit("quick", {"numbers": [1]}, delay=3600)
        >>> answer = await later.cancel()
        >>> try:
        ...     await later.wait()
        ... except TaskCancelled as error:
        ...     print(error.code)
        cancelled
    """

    code = "cancelled"
