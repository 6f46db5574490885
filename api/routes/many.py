"""`POST /tasks/bulk`: many submissions in one request."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from stepline.contract import SubmissionAnswers, SubmissionItem

from api.body import StrictRoute
from api.deps import RegistryDep, TakingDep
from api.errors import RETRY_AFTER, ProblemError, responses, unavailable
from api.many import MOST, ManySubmissions, read_array, read_lines
from infra.codec import dumps

router = APIRouter(prefix="/tasks", tags=["submit"], route_class=StrictRoute)

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
JSON = frozenset({"application/json"})

BODY: dict[str, Any] = {
    "required": True,
    "description": "An array of submissions; or NDJSON (`application/x-ndjson`), one a line.",
    "content": {
        "application/json": {
            "schema": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST,
                "items": SubmissionItem.model_json_schema(),
                "examples": [[{"type": "quick", "payload": {"numbers": [1, 2]}}]],
            }
        }
    },
}


@router.post(
    "/bulk",
    status_code=202,
    response_model=SubmissionAnswers,
    responses={
        207: {"model": SubmissionAnswers, "description": "Some were refused; each says why."},
        **responses(400, 401, 413, 415, 422, 503),
    },
    openapi_extra={"requestBody": BODY},
)
async def submit_many(
    request: Request,
    registry: RegistryDep,
    taking: TakingDep,
) -> Response:
    """Up to 10,000 submissions of any types, each with an answer of its own, in their order. `202`:
    every one was accepted and confirmed. `207`: some were refused. `503`: none was accepted for
    certain; the same items with the same keys may be sent again."""
    items = read_items(request.headers.get("content-type", ""), await request.body())
    answers = await ManySubmissions(taking, registry).submit(items)
    statuses = [answer["problem"]["status"] for answer in answers if "problem" in answer]
    if statuses.count(503) == len(answers):
        first = answers[0]["problem"]
        raise unavailable(first["type"].rpartition("/")[2], first["detail"])
    refused = len(statuses)
    body = {"accepted": len(answers) - refused, "refused": refused, "items": answers}
    return Response(
        dumps(body),
        status_code=207 if refused else 202,
        media_type="application/json",
        headers={"Retry-After": str(RETRY_AFTER)} if 503 in statuses else None,
    )


def read_items(content_type: str, body: bytes) -> list[Any]:
    """The items of a body, not judged yet. Raises a problem."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in NDJSON:
        items = list(read_lines(body))
    elif media_type in JSON:
        items = read_array(body)
    else:
        raise ProblemError(
            415, "unsupported_media_type", "Send application/json or application/x-ndjson."
        )
    if not items:
        raise ProblemError(422, "invalid_request", "There is no submission in the body.")
    if len(items) > MOST:
        raise ProblemError(413, "body_too_large", f"At most {MOST} submissions at a time.")
    return items
