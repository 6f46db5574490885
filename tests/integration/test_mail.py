"""Mail as a real SMTP server receives it, and as the outbox keeps it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as email_policy
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stepline.authoring import Mailer
from stepline.errors import HandlerError, Reject, Retry

from infra.mail import OutboxMailer, SmtpMailer, SmtpServer, build_mailer, outbox_name
from infra.settings import Settings, SettingsError

SENDER = "Stepline <stepline@localhost>"


class Inbox:
    """An SMTP handler that keeps what it takes; `replies` answers RCPT or DATA otherwise."""

    def __init__(self, **replies: str) -> None:
        self.envelopes: list[Any] = []
        self.secure: list[bool] = []
        self.logins: list[tuple[str, str]] = []
        self._replies = replies

    async def handle_RCPT(
        self, _server: SMTP, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if reply := self._replies.get("rcpt"):
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Any, envelope: Any) -> str:
        if reply := self._replies.get("data"):
            return reply
        self.envelopes.append(envelope)
        self.secure.append(session.ssl is not None)
        return "250 taken"

    def authenticate(self, *arguments: Any) -> AuthResult:
        login: LoginPassword = arguments[-1]
        self.logins.append((login.login.decode(), login.password.decode()))
        return AuthResult(success=login.password == b"s3cret/@:", handled=False)

    def only(self) -> EmailMessage:
        (envelope,) = self.envelopes
        message = message_from_bytes(envelope.content, policy=email_policy)
        assert isinstance(message, EmailMessage)
        return message


@contextlib.asynccontextmanager
async def serving(
    inbox: Inbox, *, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[int]:
    """A real SMTP server on a free port; gives the port."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(
            inbox, hostname="localhost", loop=loop, authenticator=inbox.authenticate, **options
        )

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def send(mailer: Mailer, **changes: str) -> None:
    await mailer.send(
        **{
            "recipient": "user@company.com",
            "subject": "Report",
            "text": "All done.\n",
            "message_id": "abc.1@stepline",
            **changes,
        }
    )


def smtp(port: int, *, login: str = "", scheme: str = "smtp", **options: Any) -> SmtpMailer:
    server = SmtpServer.from_url(f"{scheme}://{login}127.0.0.1:{port}")
    return SmtpMailer(server, sender=SENDER, timeout=5, **options)


async def test_a_mail_arrives_with_its_headers_and_text() -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        await send(smtp(port))
    mail = inbox.only()
    assert inbox.envelopes[0].mail_from == "stepline@localhost"
    assert inbox.envelopes[0].rcpt_tos == ["user@company.com"]
    assert mail["From"] == "Stepline <stepline@localhost>"
    assert mail["To"] == "user@company.com"
    assert mail["Subject"] == "Report"
    assert mail["Message-ID"] == "<abc.1@stepline>"
    assert abs(parsedate_to_datetime(mail["Date"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert mail.get_content().strip() == "All done."


@pytest.mark.parametrize("utf8", [True, False])
async def test_chinese_subject_and_text_arrive_unharmed(utf8: bool) -> None:
    inbox, subject, text = Inbox(), "报告：第一季度销售数据" * 10, "你好，世界 🎉\n" * 50
    async with serving(inbox, enable_SMTPUTF8=utf8) as port:
        await send(smtp(port), subject=subject, text=text)
    assert inbox.only()["Subject"] == subject
    assert inbox.only().get_content().replace("\r\n", "\n") == text


async def test_a_line_with_a_lone_dot_does_not_end_the_mail() -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        await send(smtp(port), text="before\n.\nafter\n")
    assert inbox.only().get_content().split() == ["before", ".", "after"]


async def test_an_international_domain_is_addressed_as_the_dns_has_it() -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        await send(smtp(port), recipient="user@例子.中国")
    assert inbox.envelopes[0].rcpt_tos == ["user@xn--fsqu00a.xn--fiqs8s"]


@pytest.mark.parametrize("field", ["recipient", "subject", "message_id"])
@pytest.mark.parametrize("poison", ["\r\nBcc: victim@company.com", "\n", "\r", "\0"])
async def test_no_header_can_be_smuggled_in(field: str, poison: str, tmp_path: Path) -> None:
    inbox = Inbox()
    async with serving(inbox) as port:
        for mailer in (smtp(port), OutboxMailer(tmp_path, sender=SENDER)):
            with pytest.raises(Reject) as caught:
                await send(mailer, **{field: f"a@b.com{poison}"})
            assert caught.value.code == "mail_refused"
    assert inbox.envelopes == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "recipient", ["", "nobody", "a@b@c.com", "a@b.com, c@d.com", "<a@b.com>", "用户@"]
)
async def test_what_is_no_address_is_refused_before_a_connection(recipient: str) -> None:
    with pytest.raises(Reject) as caught:
        await send(smtp(1), recipient=recipient)
    assert caught.value.code == "mail_refused"


@pytest.mark.parametrize("command", ["rcpt", "data"])
@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        ("450 mailbox busy", Retry, "mail_deferred"),
        ("421 closing", Retry, "mail_deferred"),
        ("550 no such user", Reject, "mail_refused"),
        ("554 looks like spam", Reject, "mail_refused"),
    ],
)
async def test_the_servers_answer_decides_whether_it_is_tried_again(
    command: str, reply: str, kind: type[HandlerError], code: str
) -> None:
    async with serving(Inbox(**{command: reply})) as port:
        with pytest.raises(kind) as caught:
            await send(smtp(port))
    assert caught.value.code == code
    assert reply in caught.value.message


async def test_a_server_that_is_not_there_puts_the_mail_off() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Retry) as caught:
        await send(smtp(port))
    assert caught.value.code == "mail_deferred"


async def test_a_server_that_hangs_up_puts_the_mail_off() -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with server:
        with pytest.raises(Retry) as caught:
            await send(smtp(server.sockets[0].getsockname()[1]))
    assert caught.value.code == "mail_deferred"


async def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    inbox = Inbox()
    async with serving(inbox, enable_SMTPUTF8=False) as port:
        with pytest.raises(Reject) as caught:
            await send(smtp(port), recipient="用户@company.com")
    assert caught.value.code == "mail_refused"
    async with serving(inbox, enable_SMTPUTF8=True) as port:
        await send(smtp(port), recipient="用户@company.com")
    assert inbox.envelopes[0].rcpt_tos == ["用户@company.com"]


async def test_the_url_logs_in_with_its_decoded_password() -> None:
    inbox = Inbox()
    async with serving(inbox, auth_require_tls=False) as port:
        await send(smtp(port, login="mailer:s3cret%2F%40%3A@"))
    assert inbox.logins == [("mailer", "s3cret/@:")]
    assert len(inbox.envelopes) == 1


async def test_a_wrong_password_is_told_without_repeating_it() -> None:
    async with serving(Inbox(), auth_require_tls=False) as port:
        with pytest.raises(Reject) as caught:
            await send(smtp(port, login="mailer:hunter2@"))
    assert caught.value.code == "mail_refused"
    assert "hunter2" not in caught.value.message


async def test_starttls_is_used_when_the_server_offers_it(tmp_path: Path) -> None:
    server_side, client_side = certificates(tmp_path)
    inbox = Inbox()
    async with serving(inbox, tls_context=server_side) as port:
        await send(smtp(port, tls_context=client_side))
    assert inbox.secure == [True]


async def test_smtps_speaks_tls_from_the_first_byte(tmp_path: Path) -> None:
    server_side, client_side = certificates(tmp_path)
    inbox = Inbox()
    async with serving(inbox, tls=server_side) as port:
        await send(smtp(port, scheme="smtps", tls_context=client_side))
    assert len(inbox.envelopes) == 1


async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(tmp_path: Path) -> None:
    server_side, _ = certificates(tmp_path)
    inbox = Inbox()
    async with serving(inbox, tls=server_side) as port:
        with pytest.raises(Retry):
            await send(smtp(port, scheme="smtps"))
    assert inbox.envelopes == []


def test_a_password_crosses_a_network_only_under_tls() -> None:
    for url, start_tls in (
        ("smtp://user:pass@mail.example.com:587", True),
        ("smtp://mail.example.com", None),
        ("smtp://user:pass@localhost:1025", None),
        ("smtp://user:pass@[::1]:1025", None),
        ("smtps://user:pass@mail.example.com", False),
    ):
        assert SmtpServer.from_url(url).start_tls is start_tls, url


def test_a_url_gives_the_usual_ports_and_hides_its_password() -> None:
    assert SmtpServer.from_url("smtp://mail.example.com").port == 25
    secure = SmtpServer.from_url("smtps://user:hunter2@mail.example.com")
    assert (secure.port, secure.tls) == (465, True)
    assert "hunter2" not in repr(secure)


@pytest.mark.parametrize("url", ["smtp://", "smtp://h:99999", "http://h", "smtp://u:hunter2@:25"])
def test_a_malformed_url_is_a_settings_error_without_the_url(url: str) -> None:
    with pytest.raises(SettingsError, match="STEPLINE_SMTP_URL") as caught:
        SmtpServer.from_url(url)
    assert "hunter2" not in caught.value.message


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


async def test_without_a_server_each_mail_becomes_a_file_in_the_outbox(tmp_path: Path) -> None:
    mailer = build_mailer(settings(data_dir=tmp_path))
    assert mailer.transport == "outbox"
    await send(mailer, subject="报告", text="你好\n")
    (file,) = (tmp_path / "outbox").iterdir()
    assert file.name == "abc.1@stepline.eml"
    mail = message_from_bytes(file.read_bytes(), policy=email_policy)
    assert isinstance(mail, EmailMessage)
    assert (mail["To"], mail["Subject"]) == ("user@company.com", "报告")
    assert mail["Message-ID"] == "<abc.1@stepline>"
    assert mail.get_content().strip() == "你好"


def test_with_a_server_mail_goes_there(tmp_path: Path) -> None:
    mailer = build_mailer(settings(data_dir=tmp_path, smtp_url="smtp://mail.example.com"))
    assert mailer.transport == "smtp"


async def test_the_same_mail_again_is_the_same_file(tmp_path: Path) -> None:
    mailer = OutboxMailer(tmp_path, sender=SENDER)
    await send(mailer)
    await send(mailer)
    await send(mailer, message_id="other@stepline")
    assert len(list(tmp_path.iterdir())) == 2


async def test_an_address_beyond_ascii_is_kept_in_the_outbox(tmp_path: Path) -> None:
    await send(OutboxMailer(tmp_path, sender=SENDER), recipient="用户@company.com")
    (file,) = tmp_path.iterdir()
    assert "To: 用户@company.com" in file.read_text("utf-8")


@pytest.mark.parametrize("left", ["../../etc/x", ".hidden", "a/b", "a\\b", "x" * 300, "a:b*c?"])
def test_an_outbox_name_stays_inside_the_outbox(left: str) -> None:
    name = outbox_name(f"{left}@stepline")
    assert Path(name).name == name
    assert not name.startswith(".")
    assert len(name) < 200
    assert name != outbox_name(f"{left}x@stepline")


async def test_an_outbox_that_cannot_be_written_puts_the_mail_off(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file where the folder should be")
    with pytest.raises(Retry) as caught:
        await send(OutboxMailer(tmp_path / "outbox", sender=SENDER))
    assert caught.value.code == "mail_deferred"


def certificates(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS side for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + public
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=public.decode())
