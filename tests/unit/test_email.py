"""`email`: one mail, recognisable when it comes twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stepline.contract import EmailRequest
from stepline.errors import Reject, Retry

from handlers.email import EMAIL, email
from tests.unit.fakes import context

REQUEST = EmailRequest(recipient="user@company.com", subject="报告", message="你好")


class Mailbox:
    """A mailer that keeps what it sends."""

    transport = "outbox"

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[dict[str, str]] = []
        self._error = error

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        if self._error is not None:
            raise self._error
        self.sent.append(
            {"recipient": recipient, "subject": subject, "text": text, "message_id": message_id}
        )


async def test_the_mail_is_sent_and_told() -> None:
    mailbox = Mailbox()
    result: dict[str, Any] = await email(context(mailer=mailbox), REQUEST)
    (mail,) = mailbox.sent
    assert (mail["recipient"], mail["subject"], mail["text"]) == (
        "user@company.com",
        "报告",
        "你好",
    )
    sent_at = datetime.fromisoformat(result.pop("sent_at"))
    assert abs(sent_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert result == {
        "status": "sent",
        "recipient": "user@company.com",
        "subject": "报告",
        "message_id": mail["message_id"],
        "transport": "outbox",
    }


async def test_every_attempt_has_the_same_message_id_and_another_task_another() -> None:
    mailbox = Mailbox()
    for attempt, task in ((1, "a"), (2, "a"), (1, "b")):
        await email(context(mailer=mailbox, task_id=task, attempt=attempt), REQUEST)
    first, again, other = (mail["message_id"] for mail in mailbox.sent)
    assert first == again != other
    assert first.count("@") == 1


@pytest.mark.parametrize("error", [Retry(code="mail_deferred"), Reject(code="mail_refused")])
async def test_what_the_mailer_says_is_the_tasks_outcome(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await email(context(mailer=Mailbox(error)), REQUEST)
    assert caught.value is error


def test_it_goes_to_the_email_queue_and_is_tried_more_than_once() -> None:
    assert EMAIL.queue == "email_tasks"
    assert EMAIL.retry.attempts > 1
