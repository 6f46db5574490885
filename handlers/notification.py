"""`notification`: tell each recipient, once, and report what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepline.authoring import Context, RetryPolicy, handler
from stepline.contract import ChainItem
from stepline.errors import Reject, Retry

from handlers.bounded import for_each
from handlers.notification_channels import Channel, Delivery, Kind
from handlers.notification_templates import notice_of
from handlers.report import StepError, StepReport

CONCURRENCY = 5
RETRY = RetryPolicy(attempts=4, base=2.0, cap=120.0)


@handler(timeout=3_600, retry=RETRY)
async def notification(ctx: Context, item: ChainItem) -> dict[str, Any]:
    """Deliver to every recipient, by `notification_type` or by what the recipients look like.

    A recipient that is done with (sent, or refused for good) is not tried again by a later
    attempt. Raises `Retry` (code `notification_deferred`) while some may still be reached, and
    `Reject` (code `notification_failed`, the report as `output`) when all are refused for good.
    """
    recipients = list(dict.fromkeys(item.data.recipients))
    kind = item.data.notification_type or kind_of(recipients)
    if not recipients:
        return _nobody(kind)
    channel = Channel(ctx, item, kind, notice_of(ctx, item))
    deliveries = await _deliver(ctx, channel, recipients)
    report = _report(channel, recipients, deliveries)
    deferred = [item for item in deliveries.values() if item.status == "deferred"]
    if deferred:
        reason = (deferred[0].error or {}).get("message", "")
        raise Retry(
            f"{len(deferred)} of {len(recipients)} recipients could not be reached yet: {reason}",
            code="notification_deferred",
            output=report.dump(),
        )
    if repeated := len(item.data.recipients) - len(recipients):
        report.warnings.append(f"recipients named more than once were told once ({repeated})")
    if report.status == "failed":
        raise Reject(report.message, code="notification_failed", output=report.dump())
    return report.dump()


def kind_of(recipients: Sequence[str]) -> Kind:
    """What recipients look like: all http URLs a webhook, any with an @ mail, else the log.

    One mail address among others makes it mail, so that nobody who should have been told is only
    written to the log: the others then fail by name.
    """
    if not recipients:
        return "log"
    if all(item.lower().startswith(("http://", "https://")) for item in recipients):
        return "webhook"
    return "email" if any("@" in item for item in recipients) else "log"


async def _deliver(
    ctx: Context, channel: Channel, recipients: Sequence[str]
) -> dict[int, Delivery]:
    """What became of each recipient, by its place in the list; the ends are saved one by one."""
    deliveries = _restored(ctx.saved)
    total = len(recipients)
    told = len(deliveries)
    await ctx.progress(told, total)

    async def work(place: int) -> Delivery:
        return await channel.deliver(recipients[place])

    async def done(place: int, delivery: Delivery) -> None:
        nonlocal told
        told += 1
        deliveries[place] = delivery
        if delivery.status != "deferred":
            await ctx.save(_saved(deliveries))
        # Not the recipient: a webhook's address is often a secret in itself.
        await ctx.progress(told, total, f"{delivery.status}: {told} of {total}")

    waiting = [place for place in range(total) if place not in deliveries]
    await for_each(waiting, work, done, limit=min(CONCURRENCY, total))
    return deliveries


def _saved(deliveries: dict[int, Delivery]) -> dict[str, Any]:
    """Only what ended, and short: it is written once for every recipient."""
    return {
        "sent": [place for place, item in deliveries.items() if item.status == "sent"],
        "failed": {
            str(place): item.error for place, item in deliveries.items() if item.status == "failed"
        },
    }


def _restored(saved: Any) -> dict[int, Delivery]:
    if not saved:
        return {}
    sent = {place: Delivery("sent") for place in saved["sent"]}
    failed = {int(place): Delivery("failed", error) for place, error in saved["failed"].items()}
    return sent | failed


def _report(
    channel: Channel, recipients: Sequence[str], deliveries: dict[int, Delivery]
) -> StepReport:
    lines = [
        _line(channel, recipient, deliveries[place]) for place, recipient in enumerate(recipients)
    ]
    unsent = [line for line in lines if line["status"] != "sent"]
    sent = len(lines) - len(unsent)
    complaints = [f"{line['recipient']}: {line['error']['message']}" for line in unsent]
    report = StepReport(
        message=f"told {sent} of {len(lines)} recipients by {channel.kind}",
        status="success" if sent else "failed",
        result={
            **_counts(channel.kind, len(lines), sent, lines),
            "level": channel.notice.level,
            "subject": channel.notice.subject,
            "message": channel.notice.message,
        },
    )
    if sent:
        report.warnings.extend(complaints)
    else:
        report.errors.extend(StepError(error=text, field="recipients") for text in complaints)
    return report


def _line(channel: Channel, recipient: str, delivery: Delivery) -> dict[str, Any]:
    line: dict[str, Any] = {
        "recipient": recipient,
        "status": delivery.status,
        "transport": channel.transport,
        **channel.identity(recipient),
    }
    return line if delivery.error is None else {**line, "error": delivery.error}


def _counts(kind: Kind, total: int, sent: int, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "notification_type": kind,
        "total_recipients": total,
        "sent": sent,
        "failed": total - sent,
        "deliveries": lines,
    }


def _nobody(kind: Kind) -> dict[str, Any]:
    return StepReport(
        message="nobody to tell",
        status="skipped",
        result=_counts(kind, 0, 0, []),
        warnings=["no recipients: the notification was skipped"],
    ).dump()
