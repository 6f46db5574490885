"""`chain_batch`: each request goes through its own chain, and what one suffers is its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stepline.contract import ChainBatchRequest
from stepline.errors import Reject, Retry
from stepline.testing import MemoryExports, RecordingContext

from handlers.chain_batch import RETRY, chain_batch
from handlers.notification import RETRY as NOTIFICATION_RETRY

BUSY = Retry("server busy", code="mail_deferred")


class Mailbox:
    """A mailer that raises what a test has put down for a recipient."""

    transport = "outbox"

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.sent: list[tuple[str, str]] = []

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        del subject, text
        name = recipient.partition("@")[0]
        if name in self.errors:
            raise self.errors[name]
        self.sent.append((name, message_id))


def telling(*names: str, **payload: Any) -> dict[str, Any]:
    """A request that tells these people by mail."""
    recipients = [f"{name}@company.com" for name in names]
    return {
        "request_type": "notification",
        "data": {"payload": payload, "notification_type": "email", "recipients": recipients},
    }


def batch(*requests: dict[str, Any], sequence: tuple[str, ...]) -> ChainBatchRequest:
    body = {
        "chain_type": "custom",
        "handler_sequence": list(sequence),
        "batch_requests": list(requests),
    }
    return ChainBatchRequest.model_validate(body)


def context(mailbox: Mailbox, **attributes: Any) -> RecordingContext:
    return RecordingContext(mailer=mailbox, handler="chain_batch", **attributes)  # type: ignore[arg-type]


async def run(ctx: RecordingContext, asked: ChainBatchRequest) -> list[Any]:
    results: list[Any] = await chain_batch.run(ctx, asked)
    return results


async def attempts(ctx: RecordingContext, asked: ChainBatchRequest) -> tuple[int, list[Any]]:
    """As the engine does it: again after each `Retry`, with what was saved; how many it took."""
    for attempt in range(1, RETRY.attempts + 1):
        try:
            return attempt, await run(ctx, asked)
        except Retry:
            if ctx.saved is not None:  # through Redis and back
                ctx.saved = json.loads(json.dumps(ctx.saved))
    pytest.fail("the retries are used up: the whole batch would have failed")


async def test_one_that_cannot_be_told_yet_holds_up_nobody() -> None:
    mailbox = Mailbox(ann=BUSY)
    ctx = context(mailbox)

    with pytest.raises(Retry) as raised:
        await run(ctx, batch(telling("ann"), telling("bob"), sequence=("notification",)))

    assert [name for name, _ in mailbox.sent] == ["bob"]
    assert raised.value.code == "notification_deferred"
    assert raised.value.message.startswith("1 of 2 requests are not finished yet")
    assert ctx.progressed[-1] == (1, 2, "1 of 2 requests")


async def test_the_next_attempt_goes_on_with_that_one_alone_at_its_step() -> None:
    mailbox, exports = Mailbox(ann=BUSY), MemoryExports()
    ctx = context(mailbox, exports=exports)
    asked = batch(telling("ann"), telling("bob"), sequence=("export", "notification"))
    with pytest.raises(Retry):
        await run(ctx, asked)
    written = dict(exports.files)
    exports.files.clear()
    mailbox.errors.clear()

    results = await run(ctx, asked)

    assert [name for name, _ in mailbox.sent] == ["bob", "ann"]
    assert exports.files == {}, "what had been exported was exported again"
    assert len(written) == 2
    assert [result["success"] for result in results] == [True, True]
    assert [result["batch_index"] for result in results] == [0, 1]


async def test_one_that_can_never_be_told_fails_alone() -> None:
    mailbox = Mailbox(ann=BUSY)

    tries, results = await attempts(
        context(mailbox), batch(telling("ann"), telling("bob"), sequence=("notification",))
    )

    assert tries == NOTIFICATION_RETRY.attempts
    assert [result["success"] for result in results] == [False, True]
    (delivery,) = results[0]["processed_data"]["notification_result"]["deliveries"]
    assert (delivery["status"], delivery["error"]["code"]) == ("deferred", "mail_deferred")
    assert results[0]["errors"][0]["handler"] == "notification"
    assert [name for name, _ in mailbox.sent] == ["bob"]


async def test_a_defect_is_tried_again_and_then_fails_its_request_alone() -> None:
    mailbox = Mailbox(ann=ZeroDivisionError("division by zero"))

    tries, results = await attempts(
        context(mailbox), batch(telling("ann"), telling("bob"), sequence=("notification",))
    )

    assert tries == NOTIFICATION_RETRY.attempts
    assert [result["success"] for result in results] == [False, True]
    assert results[0]["errors"] == [
        {"handler": "notification", "error": "ZeroDivisionError: division by zero"}
    ]


async def test_a_final_refusal_is_not_tried_again() -> None:
    mailbox = Mailbox(ann=Reject("no such user", code="mail_refused"))

    tries, results = await attempts(
        context(mailbox), batch(telling("ann"), telling("bob"), sequence=("notification",))
    )

    assert tries == 1
    assert [result["success"] for result in results] == [False, True]


async def test_an_interruption_within_a_request_tells_nobody_twice() -> None:
    mailbox = Mailbox(cid=BUSY)
    ctx = context(mailbox)
    asked = batch(telling("ann"), telling("bob", "cid"), sequence=("notification",))
    with pytest.raises(Retry):
        await run(ctx, asked)
    killed = context(Mailbox(), saved=json.loads(json.dumps(ctx.saves[-2])))

    results = await run(killed, asked)

    assert [name for name, _ in killed.mailer.sent] == ["cid"]  # type: ignore[misc]
    assert all(result["success"] for result in results)


async def test_a_handler_that_comes_twice_writes_two_files() -> None:
    exports = MemoryExports()
    asked = batch(telling(a=1), sequence=("export", "transformation", "export"))

    await run(context(Mailbox(), exports=exports), asked)

    assert len(exports.files) == 2


async def test_keeping_the_results_does_not_grow_with_the_square_of_the_batch() -> None:
    asked = batch(*[telling(text="x" * 5_000) for _ in range(400)], sequence=("validation",))
    ctx = context(Mailbox())

    results = await run(ctx, asked)

    whole = len(json.dumps(results))
    kept = sum(len(json.dumps(state)) for state in ctx.saves)
    assert whole > 2_000_000
    assert kept < 20 * whole, f"{kept / whole:.0f} times the result was written"
