"""`notification`: each recipient is told once, and the report says what became of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from stepline.authoring import Fetched
from stepline.contract import ChainItem
from stepline.errors import Reject, Retry

from handlers.notification import RETRY, kind_of, notification
from tests.unit.fakes import FakeContext

REFUSED = Reject("no such user", code="mail_refused")
BUSY = Retry("server busy", code="mail_deferred")


class Mailbox:
    """A mailer that keeps what it sends; `errors` are raised by recipient."""

    transport = "outbox"

    def __init__(self, errors: Mapping[str, Exception] | None = None) -> None:
        self.sent: list[dict[str, str]] = []
        self._errors = errors or {}

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        if recipient in self._errors:
            raise self._errors[recipient]
        self.sent.append(
            {"recipient": recipient, "subject": subject, "text": text, "message_id": message_id}
        )

    def told(self) -> list[str]:
        return [mail["recipient"] for mail in self.sent]


class Hooks:
    """A fetcher that answers POSTs by URL with a status, or an error."""

    def __init__(self, answers: Mapping[str, int | Exception] | None = None) -> None:
        self._answers = answers or {}
        self.posted: list[dict[str, Any]] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 10.0,
        max_bytes: int = 1_000_000,
    ) -> Fetched:
        assert method == "POST"
        self.posted.append({"url": url, "headers": dict(headers or {}), "body": body})
        answer = self._answers.get(url, 204)
        if isinstance(answer, Exception):
            raise answer
        return Fetched(url, answer, "text/plain", b"", "utf-8", 0.1)


def request(*recipients: str, **data: Any) -> ChainItem:
    return ChainItem.model_validate(
        {
            "request_type": "notification",
            "data": {"payload": {}, "recipients": list(recipients), **data},
        }
    )


async def run(ctx: FakeContext, *recipients: str, **data: Any) -> Any:
    return await notification(ctx, request(*recipients, **data))


async def mailed(*recipients: str, **data: Any) -> dict[str, str]:
    """The one mail that comes of it."""
    mailbox = Mailbox()
    await run(FakeContext(mailer=mailbox), *recipients, **data)
    (mail,) = mailbox.sent
    return mail


async def test_each_mail_address_gets_a_mail_and_a_line_in_the_report() -> None:
    mailbox = Mailbox()
    report = await run(FakeContext(mailer=mailbox), "a@company.com", "b@company.com", message="Hi")
    assert mailbox.told() == ["a@company.com", "b@company.com"]
    assert (report["status"], report["warnings"], report["errors"]) == ("success", [], [])
    result = report["result"]
    assert (result["notification_type"], result["total_recipients"]) == ("email", 2)
    assert (result["sent"], result["failed"]) == (2, 0)
    assert result["deliveries"] == [
        {
            "recipient": mail["recipient"],
            "status": "sent",
            "transport": "outbox",
            "message_id": mail["message_id"],
        }
        for mail in mailbox.sent
    ]


@pytest.mark.parametrize(
    ("recipients", "kind"),
    [
        (["a@company.com"], "email"),
        (["https://hooks.company.com/a", "HTTP://hooks.company.com/b"], "webhook"),
        (["https://user@hooks.company.com/"], "webhook"),
        (["ops", "team"], "log"),
        (["a@company.com", "ops"], "email"),
        (["a@company.com", "https://hooks.company.com/"], "email"),
        ([], "log"),
    ],
)
def test_the_kind_is_what_the_recipients_look_like(recipients: list[str], kind: str) -> None:
    assert kind_of(recipients) == kind


async def test_nobody_to_tell_is_skipped_with_a_warning() -> None:
    report = await run(FakeContext())
    assert report["status"] == "skipped"
    assert report["warnings"] == ["no recipients: the notification was skipped"]
    assert report["result"]["total_recipients"] == 0
    assert report["result"]["deliveries"] == []


async def test_a_bad_address_fails_alone_and_is_a_warning() -> None:
    mailbox = Mailbox({"gone@company.com": REFUSED})
    report = await run(
        FakeContext(mailer=mailbox), "not@an@address", "gone@company.com", "a@company.com"
    )
    assert mailbox.told() == ["a@company.com"]
    assert report["status"] == "success"
    assert (report["result"]["sent"], report["result"]["failed"]) == (1, 2)
    codes = [item.get("error", {}).get("code") for item in report["result"]["deliveries"]]
    assert codes == ["bad_recipient", "mail_refused", None]
    assert any("gone@company.com: no such user" in warning for warning in report["warnings"])


async def test_all_refused_for_good_fails_the_step_and_shows_the_report() -> None:
    with pytest.raises(Reject) as caught:
        await run(FakeContext(mailer=Mailbox({"a@company.com": REFUSED})), "a@company.com")
    assert caught.value.code == "notification_failed"
    report = caught.value.output
    assert report["status"] == "failed"
    assert report["errors"][0]["error"] == "a@company.com: no such user"
    assert report["result"]["deliveries"][0]["status"] == "failed"


async def test_a_transient_failure_is_tried_again_after_all_others_were_told() -> None:
    mailbox = Mailbox({"busy@company.com": BUSY})
    with pytest.raises(Retry) as caught:
        await run(FakeContext(mailer=mailbox), "busy@company.com", "a@company.com")
    assert caught.value.code == "notification_deferred"
    assert "1 of 2" in caught.value.message
    report = caught.value.output  # what the task shows if this was the last attempt
    assert (report["result"]["sent"], report["result"]["failed"]) == (1, 1)
    assert [item["status"] for item in report["result"]["deliveries"]] == ["deferred", "sent"]
    assert mailbox.told() == ["a@company.com"]
    assert notification.retry is RETRY
    assert RETRY.attempts > 1


async def test_a_later_attempt_never_mails_a_finished_recipient_again() -> None:
    everybody = ("a@company.com", "busy@company.com", "gone@company.com")
    first = FakeContext(mailer=Mailbox({"busy@company.com": BUSY, "gone@company.com": REFUSED}))
    with pytest.raises(Retry):
        await run(first, *everybody)
    mailbox = Mailbox()
    second = FakeContext(mailer=mailbox, attempt=2, saved=json.loads(json.dumps(first.saves[-1])))
    report = await run(second, *everybody)
    assert mailbox.told() == ["busy@company.com"]
    statuses = [item["status"] for item in report["result"]["deliveries"]]
    assert statuses == ["sent", "sent", "failed"]
    assert report["result"]["deliveries"][2]["error"]["code"] == "mail_refused"


async def test_each_finished_recipient_is_saved_at_once() -> None:
    ctx = FakeContext(mailer=Mailbox())
    await run(ctx, "a@company.com", "b@company.com", "c@company.com")
    assert [len(save["sent"]) for save in ctx.saves] == [1, 2, 3]
    assert [(call.current, call.total) for call in ctx.progressed] == [
        (0, 3),
        (1, 3),
        (2, 3),
        (3, 3),
    ]


async def test_a_recipient_named_twice_is_told_once() -> None:
    mailbox = Mailbox()
    report = await run(FakeContext(mailer=mailbox), "a@company.com", "a@company.com")
    assert mailbox.told() == ["a@company.com"]
    assert report["result"]["total_recipients"] == 1
    assert "told once" in report["warnings"][0]


async def test_ids_are_the_same_in_every_attempt_and_differ_between_recipients() -> None:
    ids = []
    for attempt in (1, 2):
        mailbox = Mailbox()
        await run(FakeContext(mailer=mailbox, attempt=attempt), "a@company.com", "b@company.com")
        ids.append([mail["message_id"] for mail in mailbox.sent])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


HOOK = "https://hooks.company.com/in"


async def test_a_webhook_gets_json_with_an_id_and_a_timestamp() -> None:
    hooks = Hooks()
    report = await run(FakeContext(fetcher=hooks), HOOK, message="完成")
    (posted,) = hooks.posted
    headers, body = posted["headers"], json.loads(posted["body"])
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-timestamp"].isdecimal()
    assert body["type"] == "notification.success"
    assert (body["data"]["task_id"], body["data"]["message"]) == ("task-1", "完成")
    assert report["result"]["deliveries"] == [
        {
            "recipient": HOOK,
            "status": "sent",
            "transport": "webhook",
            "webhook_id": headers["webhook-id"],
        }
    ]


async def test_progress_does_not_tell_a_webhooks_address() -> None:
    ctx = FakeContext(fetcher=Hooks())
    await run(ctx, f"{HOOK}/T0/s3cret")
    assert [call.message for call in ctx.progressed] == [None, "sent: 1 of 1"]


async def test_a_webhook_repeated_by_a_later_attempt_is_recognisable() -> None:
    hooks = Hooks({HOOK: 503})
    for attempt in (1, 2):
        with pytest.raises(Retry):
            await run(FakeContext(fetcher=hooks, attempt=attempt), HOOK)
    first, again = hooks.posted
    assert first["headers"]["webhook-id"] == again["headers"]["webhook-id"]
    assert first["body"] == again["body"]


@pytest.mark.parametrize("answer", [500, 503, 429, 408, Retry("slow", code="fetch_timeout")])
async def test_a_webhook_that_may_recover_is_tried_again(answer: int | Exception) -> None:
    with pytest.raises(Retry) as caught:
        await run(FakeContext(fetcher=Hooks({HOOK: answer})), HOOK)
    assert caught.value.code == "notification_deferred"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (400, "webhook_refused"),
        (410, "webhook_refused"),
        (304, "webhook_refused"),
        (Reject("not public", code="fetch_refused"), "fetch_refused"),
    ],
)
async def test_a_webhook_that_says_no_is_not_asked_again(
    answer: int | Exception, code: str
) -> None:
    with pytest.raises(Reject) as caught:
        await run(FakeContext(fetcher=Hooks({HOOK: answer})), HOOK)
    assert caught.value.output["result"]["deliveries"][0]["error"]["code"] == code


async def test_log_writes_a_line_for_each_recipient() -> None:
    ctx = FakeContext()
    report = await run(ctx, "ops", "team", notification_type="log", message="Look here")
    assert [(line.message, line.fields["recipient"]) for line in ctx.logged] == [
        ("Look here", "ops"),
        ("Look here", "team"),
    ]
    assert [item["transport"] for item in report["result"]["deliveries"]] == ["log", "log"]


@pytest.mark.parametrize("level", ["success", "error", "warning", "info"])
async def test_each_template_has_a_subject_and_a_message_of_its_own(level: str) -> None:
    mail = await mailed("a@company.com", template=level)
    assert mail["subject"].startswith(f"[{level}] ")
    assert "notification request" in mail["text"]
    assert "task-1" in mail["text"]


async def test_the_users_message_takes_the_place_of_the_default() -> None:
    mail = await mailed("a@company.com", message="处理完成：请查看")
    assert mail["text"].startswith("处理完成：请查看\n")
    assert "was processed" not in mail["text"]


@pytest.mark.parametrize("message", ["{{ 7 * 7 }}", "{% for x in y %}", "{{ ''.__class__ }}", "{#"])
async def test_the_users_message_is_never_read_as_a_template(message: str) -> None:
    assert message in (await mailed("a@company.com", message=message))["text"]


@pytest.mark.parametrize(
    ("report", "level"),
    [
        ({}, "success"),
        ({"warnings": ["odd"]}, "warning"),
        ({"errors": [{"error": "wrong"}], "warnings": ["odd"]}, "error"),
    ],
)
async def test_without_a_template_the_earlier_steps_decide(
    report: dict[str, Any], level: str
) -> None:
    mailbox = Mailbox()
    ctx = FakeContext(mailer=mailbox, outputs={"enrichment": report})
    await run(ctx, "a@company.com")
    assert mailbox.sent[0]["subject"].startswith(f"[{level}] ")
    for remark in ("odd", "wrong"):
        assert (f"- {remark}\n" in mailbox.sent[0]["text"]) is (remark in str(report))


async def test_an_export_before_it_is_told_of() -> None:
    export = {"filename": "销售.csv", "record_count": 3, "size_bytes": 120}
    mailbox = Mailbox()
    ctx = FakeContext(mailer=mailbox, outputs={"export": {"result": export}})
    await run(ctx, "a@company.com")
    assert "Export: 销售.csv (3 records, 120 bytes)" in mailbox.sent[0]["text"]


async def test_a_task_name_cannot_break_out_of_the_subject() -> None:
    mailbox = Mailbox()
    ctx = FakeContext(mailer=mailbox, task_name="daily\r\nBcc: x@company.com\0{{ 1 }}")
    await run(ctx, "a@company.com")
    assert mailbox.sent[0]["subject"] == "[success] daily Bcc: x@company.com {{ 1 }} finished"
