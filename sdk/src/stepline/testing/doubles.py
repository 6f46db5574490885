"""What stands in for the world: services that keep what they were given, and answer as they were
told to."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field

from stepline.authoring import Fetched, StoredExport, UserRecord
from stepline.errors import Reject


@dataclass
class SentMail:
    """A mail that a handler handed over.

    Examples:
        >>> SentMail("ada@example.com", "Hello", "Text", "id@stepline").recipient
        'ada@example.com'
    """

    recipient: str
    subject: str
    text: str
    message_id: str


@dataclass
class RecordingMailer:
    """Keeps mails in the place of sending them.

    Examples:
        >>> mailer = RecordingMailer()
        >>> await mailer.send(recipient="ada@example.com", subject="s", text="t", message_id="m")
        >>> [mail.recipient for mail in mailer.sent]
        ['ada@example.com']
    """

    transport: str = "outbox"
    sent: list[SentMail] = field(default_factory=list)

    async def send(self, *, recipient: str, subject: str, text: str, message_id: str) -> None:
        self.sent.append(SentMail(recipient, subject, text, message_id))


@dataclass
class CannedFetcher:
    """Answers from `answers` (URL → body, or an exception to raise); refuses all else.

    Examples:
        >>> fetcher = CannedFetcher({"https://example.com/": b"hello"})
        >>> (await fetcher.request("GET", "https://example.com/")).body
        b'hello'
    """

    answers: Mapping[str, bytes | Exception] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

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
        del headers, body, timeout, max_bytes
        self.requests.append((method, url))
        if url not in self.answers:
            raise Reject(f"the test has no answer for {url}", code="fetch_refused")
        answer = self.answers[url]
        if isinstance(answer, Exception):
            raise answer
        return Fetched(url, 200, "application/octet-stream", answer, "utf-8", 0.0)


@dataclass
class MemoryExports:
    """Keeps exports as bytes, by name.

    Examples:
        >>> exports = MemoryExports()
        >>> async def chunks():
        ...     yield b"a,b"
        >>> (await exports.write("t.csv", chunks())).size_bytes, exports.files
        (3, {'t.csv': b'a,b'})
    """

    files: dict[str, bytes] = field(default_factory=dict)

    async def write(self, name: str, chunks: AsyncIterable[bytes]) -> StoredExport:
        data = b"".join([chunk async for chunk in chunks])
        self.files[name] = data
        digest = hashlib.sha256(data).hexdigest()
        return StoredExport(name, f"memory:{name}", len(data), digest)


@dataclass
class FixedUsers:
    """Knows the users that it was given.

    Examples:
        >>> await FixedUsers({}).get_many([1])
        {}
    """

    users: Mapping[int, UserRecord] = field(default_factory=dict)

    async def get_many(self, ids: Sequence[int]) -> dict[int, UserRecord]:
        return {user_id: self.users[user_id] for user_id in ids if user_id in self.users}
