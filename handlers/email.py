"""`email`: one mail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stepline.authoring import Context, RetryPolicy, handler, task_type
from stepline.contract import EmailRequest

from handlers.identifiers import message_id


@handler
async def email(ctx: Context, payload: EmailRequest) -> dict[str, Any]:
    """Send it. Every attempt gives the mail the same Message-ID, so that a mail server or reader
    knows a repetition. Raises what the mailer raises (codes `mail_deferred`, `mail_refused`)."""
    identity = message_id(ctx.idempotency_key)
    await ctx.mailer.send(
        recipient=payload.recipient,
        subject=payload.subject,
        text=payload.message,
        message_id=identity,
    )
    return {
        "status": "sent",
        "recipient": payload.recipient,
        "subject": payload.subject,
        "message_id": identity,
        "sent_at": datetime.now(UTC).isoformat(),
        "transport": ctx.mailer.transport,
    }


EMAIL = task_type(
    "email",
    payload=EmailRequest,
    handlers=[email],
    queue="email_tasks",
    timeout=120,
    retry=RetryPolicy(attempts=6, base=2.0, cap=300.0),
    description="One mail.",
)
