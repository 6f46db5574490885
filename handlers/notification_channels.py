"""How a notification reaches one recipient: by mail, by webhook, or as a line in the task's log."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
from email_validator import EmailNotValidError, validate_email
from stepline.authoring import Context
from stepline.contract import ChainItem
from stepline.errors import Reject, Retry

from handlers.identifiers import message_id, stable_id
from handlers.notification_templates import Notice, export_of

Kind: TypeAlias = Literal["email", "webhook", "log"]

_ANSWER_BYTES = 64_000
_TRANSIENT = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one recipient. `deferred` is not over: another attempt may still reach it."""

    status: Literal["sent", "failed", "deferred"]
    error: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to deliver one notice. Ids are the same in every attempt."""

    ctx: Context
    item: ChainItem
    kind: Kind
    notice: Notice

    @property
    def transport(self) -> str:
        return self.ctx.mailer.transport if self.kind == "email" else self.kind

    def identity(self, recipient: str) -> dict[str, str]:
        """The id by which the recipient knows a repetition, under its usual name."""
        parts = (self.ctx.idempotency_key, recipient)
        match self.kind:
            case "email":
                return {"message_id": message_id(*parts)}
            case "webhook":
                return {"webhook_id": f"msg_{stable_id(*parts)}"}
            case _:
                return {}

    async def deliver(self, recipient: str) -> Delivery:
        """Never raises for what is the recipient's or the network's fault."""
        try:
            match self.kind:
                case "email":
                    await self._mail(recipient)
                case "webhook":
                    await self._post(recipient)
                case _:
                    await self._log(recipient)
        except (Retry, Reject) as error:
            status: Literal["failed", "deferred"] = (
                "deferred" if isinstance(error, Retry) else "failed"
            )
            return Delivery(status, {"code": error.code, "message": error.message})
        return Delivery("sent")

    async def _mail(self, recipient: str) -> None:
        try:
            address = validate_email(recipient, check_deliverability=False).normalized
        except EmailNotValidError as error:
            raise Reject(f"not an e-mail address: {error}", code="bad_recipient") from error
        await self.ctx.mailer.send(
            recipient=address,
            subject=self.notice.subject,
            text=self.notice.text,
            **self.identity(recipient),
        )

    async def _post(self, recipient: str) -> None:
        answer = await self.ctx.fetcher.request(
            "POST",
            recipient,
            headers={
                "Content-Type": "application/json",
                "webhook-id": self.identity(recipient)["webhook_id"],
                "webhook-timestamp": str(int(time.time())),
            },
            body=orjson.dumps(self._body()),
            max_bytes=_ANSWER_BYTES,
        )
        code = answer.status_code
        if 200 <= code < 300:
            return
        message = f"the webhook answered HTTP {code}"
        if code >= 500 or code in _TRANSIENT:
            raise Retry(message, code="webhook_unavailable")
        raise Reject(message, code="webhook_refused")

    def _body(self) -> dict[str, Any]:
        # `type`, `timestamp`, `data`: the shape that the Standard Webhooks specification names.
        return {
            "type": f"notification.{self.notice.level}",
            "timestamp": self.ctx.created_at.isoformat(),
            "data": {
                "task_id": self.ctx.task_id,
                "task_name": self.ctx.task_name,
                "request_type": self.item.request_type.value,
                "subject": self.notice.subject,
                "message": self.notice.message,
                "export_result": export_of(self.ctx.outputs),
            },
        }

    async def _log(self, recipient: str) -> None:
        await self.ctx.log(
            self.notice.message,
            recipient=recipient,
            severity=self.notice.level,
            subject=self.notice.subject,
        )
