"""Mail: by SMTP, or as `.eml` files in the outbox folder where no server is configured."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.policy import SMTPUTF8 as SMTPUTF8_POLICY
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib
from email_validator import validate_email
from stepline.contract.base import BREAKS
from stepline.errors import Reject, Retry

from infra.settings import Settings, SettingsError

_MESSAGE_ID = re.compile(r"[^\s<>@]+@[^\s<>@]+")
_UNSAFE_IN_NAMES = re.compile(r"[^A-Za-z0-9._@+=-]")


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over. `tls`: from the first byte; otherwise STARTTLS when offered,
    and always where a password would cross a network."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: str) -> SmtpServer:
        """`smtp://` (port 25) or `smtps://` (port 465), with `user:password@` where needed.

        Raises `SettingsError`, without repeating the URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise SettingsError("STEPLINE_SMTP_URL: its port is no port") from error
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise SettingsError("STEPLINE_SMTP_URL: must be smtp://host:port or smtps://host:port")
        tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (465 if tls else 25),
            tls=tls,
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
        )

    @property
    def start_tls(self) -> bool | None:
        """True: required; None: when the server offers it; False: never (it is TLS already)."""
        if self.tls:
            return False
        return True if self.username is not None and not _is_loopback(self.host) else None


class SmtpMailer:
    """Hands each mail to an SMTP server, over a connection of its own."""

    transport = "smtp"

    def __init__(
        self,
        server: SmtpServer,
        *,
        sender: str,
        timeout: float = 30.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._sender = sender
        self._timeout = timeout
        self._tls_context = tls_context

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        """See `stepline.authoring.Mailer`: `Retry` has code `mail_deferred` (4xx, no connection),
        `Reject` code `mail_refused` (5xx, or a mail that cannot be built)."""
        message = build_message(
            sender=self._sender,
            recipient=recipient,
            subject=subject,
            text=text,
            message_id=message_id,
        )
        server = self._server
        try:
            await aiosmtplib.send(
                message,
                sender=parseaddr(self._sender)[1],
                recipients=[message["To"].addresses[0].addr_spec],
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.tls,
                start_tls=server.start_tls,
                tls_context=self._tls_context,
                timeout=self._timeout,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _as_outcome(error) from error


class OutboxMailer:
    """Writes each mail as a file, named from its message id; the same id replaces the file."""

    transport = "outbox"

    def __init__(self, folder: Path, *, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        """See `stepline.authoring.Mailer`: `Retry` (code `mail_deferred`) when the disk fails."""
        message = build_message(
            sender=self._sender,
            recipient=recipient,
            subject=subject,
            text=text,
            message_id=message_id,
        )
        try:
            await asyncio.to_thread(
                _write_whole, self._folder / outbox_name(message_id), _as_file(message)
            )
        except OSError as error:
            raise Retry(
                f"the outbox cannot be written: {error.strerror}", code="mail_deferred"
            ) from error


def build_mailer(settings: Settings) -> SmtpMailer | OutboxMailer:
    """The mailer that the settings ask for. Raises `SettingsError`."""
    if settings.smtp_url:
        return SmtpMailer(SmtpServer.from_url(settings.smtp_url), sender=settings.mail_from)
    return OutboxMailer(settings.outbox_dir, sender=settings.mail_from)


def build_message(
    *, sender: str, recipient: str, subject: str, text: str, message_id: str
) -> EmailMessage:
    """A plain-text mail. Raises `Reject` (code `mail_refused`) for what no header may hold."""
    for name, value in (
        ("sender", sender),
        ("recipient", recipient),
        ("subject", subject),
        ("message id", message_id),
    ):
        if BREAKS.search(value):
            raise Reject(f"the {name} holds line breaks or NUL", code="mail_refused")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise Reject("the message id is not of the form left@right", code="mail_refused")
    message = EmailMessage(policy=SMTP_POLICY)
    try:
        name, address = parseaddr(sender)
        message["From"] = Address(name, addr_spec=address)
        message["To"] = _address(recipient)
        message["Subject"] = subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{message_id}>"
        # NUL is no part of a mail's text either.
        message.set_content(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), charset="utf-8")
    except (ValueError, MessageError, IndexError) as error:
        raise Reject(f"this mail cannot be built: {error}", code="mail_refused") from error
    return message


def outbox_name(message_id: str) -> str:
    """A file name for a message id: readable, safe, and different for different ids."""
    safe = _UNSAFE_IN_NAMES.sub("_", message_id).lstrip(".")[:150]
    if safe == message_id:
        return f"{safe}.eml"
    return f"{safe}-{hashlib.sha256(message_id.encode()).hexdigest()[:16]}.eml"


def _as_file(message: EmailMessage) -> bytes:
    # A local part beyond ASCII has no encoding in a plain header: only SMTPUTF8 can carry it.
    plain = str(message["To"]).isascii() and str(message["From"]).isascii()
    return message.as_bytes(policy=SMTP_POLICY if plain else SMTPUTF8_POLICY)


def _address(recipient: str) -> Address:
    """The address, its domain as the DNS has it. Raises `ValueError`."""
    if recipient.isascii():
        return Address(addr_spec=recipient)
    checked = validate_email(recipient, check_deliverability=False)
    return Address(username=checked.local_part, domain=checked.ascii_domain)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _as_outcome(error: aiosmtplib.SMTPException | OSError) -> Retry | Reject:
    """What the server said, as what the engine shall do. The server's text never holds our
    password: that goes the other way."""
    reply = _reply(error)
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return Reject(f"the mail server cannot take this mail: {error}", code="mail_refused")
    if reply is not None and reply.code >= 500:
        return Reject(
            f"the mail server refused the mail: {reply.code} {reply.message}"[:500],
            code="mail_refused",
            details={"smtp_code": reply.code},
        )
    if reply is not None:
        return Retry(
            f"the mail server put the mail off: {reply.code} {reply.message}"[:500],
            code="mail_deferred",
        )
    return Retry(f"the mail server cannot be reached: {error}"[:500], code="mail_deferred")


def _reply(
    error: aiosmtplib.SMTPException | OSError,
) -> aiosmtplib.SMTPResponseException | None:
    # One mail has one recipient: its refusal is the whole answer.
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return error.recipients[0]
    return error if isinstance(error, aiosmtplib.SMTPResponseException) else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
