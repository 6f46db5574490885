"""Where fetching may go: the open internet, and what an operator has allowed by name."""

from __future__ import annotations

import gzip
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence

import pytest
from stepline.errors import HandlerError, Reject, Retry
from yarl import URL

from infra.fetch_body import fit_charset, read_capped
from infra.fetch_guard import AddressGuard, is_public
from infra.settings import SettingsError

HOSTILE_ADDRESSES = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",  # carrier-grade NAT
    "100.100.100.200",  # metadata inside it
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:8.8.8.8",
    "::ffff:0:7f00:1",  # IPv4-translated
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::808:808",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",  # Teredo
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "2002:808:808::1",
    "2a00:1450::5efe:7f00:1",  # ISATAP
    "2a00:1450::200:5efe:7f00:1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata over IPv6
    "fe80::1",
    "fe80::1%eth0",
    "2a00:1450:4001:800::200e%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "localhost",
    "",
]


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES)
def test_an_address_that_may_lead_inside_is_not_public(address: str) -> None:
    assert is_public(address) is False


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:800::200e"],
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address) is True


HOSTILE_URLS = [
    ("http://127.0.0.1/", "fetch_refused"),
    ("http://169.254.169.254/latest/meta-data/", "fetch_refused"),
    ("http://168.63.129.16/metadata", "fetch_refused"),
    ("http://2130706433/", "fetch_refused"),
    ("http://017700000001/", "fetch_refused"),
    ("http://0x7f000001/", "fetch_refused"),
    ("http://0177.0.0.1/", "fetch_refused"),
    ("http://0x7f.0.0.1/", "fetch_refused"),
    ("http://0x7f.1/", "fetch_refused"),
    ("http://127.1/", "fetch_refused"),
    ("http://127.0.1/", "fetch_refused"),
    ("http://0/", "fetch_refused"),
    ("http://127.0.0.1./", "fetch_refused"),
    ("http://1.1.1.1./", "fetch_refused"),
    ("http://08.8.8.8/", "fetch_refused"),
    ("http://256.1.1.1/", "fetch_refused"),
    ("http://evil.0x7f/", "fetch_refused"),
    ("http://①②⑦.⓪.⓪.①/", "fetch_refused"),
    ("http://１２７.0.0.1/", "fetch_refused"),
    ("http://127。0。0。1/", "fetch_refused"),
    ("http://[::1]/", "fetch_refused"),
    ("http://[::]/", "fetch_refused"),
    ("http://[::ffff:127.0.0.1]/", "fetch_refused"),
    ("http://[::ffff:7f00:1]/", "fetch_refused"),
    ("http://[::127.0.0.1]/", "fetch_refused"),
    ("http://[64:ff9b::7f00:1]/", "fetch_refused"),
    ("http://[2002:7f00:1::]/", "fetch_refused"),
    ("http://[fec0::1]/", "fetch_refused"),
    ("http://user@example.com/", "fetch_refused"),
    ("http://user:secret@example.com/", "fetch_refused"),
    ("http://:secret@example.com/", "fetch_refused"),
    ("http://@example.com/", "fetch_refused"),
    ("http://example.com@127.0.0.1/", "fetch_refused"),
    ("http://a@b@example.com/", "fetch_refused"),
    ("http://[fe80::1%25eth0]/", "fetch_refused"),
    ("http://[v1.x:y]/", "fetch_bad_url"),
    ("http://%31%32%37.0.0.1/", "fetch_refused"),
    ("http://%6c%6fcalhost/", "fetch_bad_url"),
    ("http://127.0.0.1\\@example.com/", "fetch_bad_url"),
    ("http://exa mple.com/", "fetch_bad_url"),
    ("http://example.com\t/", "fetch_bad_url"),
    ("http://example.com/\r\nX-Header: 1", "fetch_bad_url"),
    ("http://example.com/\0", "fetch_bad_url"),
    ("http://" + "a" * 64 + ".com/", "fetch_bad_url"),
    ("http://" + "a." * 130 + "com/", "fetch_bad_url"),
    ("http://example..com/", "fetch_bad_url"),
    ("http://-example.com/", "fetch_bad_url"),
    ("http://example.com:0/", "fetch_bad_url"),
    ("http://example.com:99999/", "fetch_bad_url"),
    ("http://example.com:0x50/", "fetch_bad_url"),
    ("http:///path", "fetch_bad_url"),
    ("http:example.com", "fetch_bad_url"),
    ("//example.com/", "fetch_bad_url"),
    ("/etc/passwd", "fetch_bad_url"),
    ("file:///etc/passwd", "fetch_bad_url"),
    ("gopher://example.com/", "fetch_bad_url"),
    ("ftp://example.com/", "fetch_bad_url"),
    ("unix:///var/run/docker.sock", "fetch_bad_url"),
    ("http+unix://%2Fvar%2Frun%2Fdocker.sock/info", "fetch_bad_url"),
    ("javascript:alert(1)", "fetch_bad_url"),
    ("", "fetch_bad_url"),
]


@pytest.mark.parametrize(("url", "code"), HOSTILE_URLS)
def test_a_hostile_url_is_refused_before_anything_is_resolved(url: str, code: str) -> None:
    with pytest.raises(Reject) as caught:
        AddressGuard().check_url(url)
    assert caught.value.code == code


def test_a_refusal_never_repeats_the_password() -> None:
    with pytest.raises(Reject) as caught:
        AddressGuard().check_url("http://user:hunter2@example.com/")
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://example.com", "http://example.com"),
        ("HTTPS://Example.COM:8443/a?b=c#d", "https://example.com:8443/a?b=c"),
        ("http://1.1.1.1:81/", "http://1.1.1.1:81/"),
        ("http://[2606:4700:4700::1111]/", "http://[2606:4700:4700::1111]/"),
        ("http://example.com/user@host", "http://example.com/user@host"),
        ("http://under_score.example.com/", "http://under_score.example.com/"),
    ],
)
def test_an_ordinary_url_passes_on_any_port(url: str, seen: str) -> None:
    assert str(AddressGuard().check_url(url)) == seen


def test_an_international_name_is_asked_for_in_its_ascii_form() -> None:
    assert AddressGuard().check_url("http://例子.公司/").raw_host == "xn--fsqu00a.xn--55qx5d"


def test_a_redirect_is_read_relative_to_where_it_came_from_and_checked_alike() -> None:
    guard, base = AddressGuard(), URL("https://example.com/a/b")
    assert str(guard.check_url("../c", base)) == "https://example.com/c"
    for location in ("//127.0.0.1/", "http://[::1]/", "http://u:p@example.com/"):
        with pytest.raises(Reject) as caught:
            guard.check_url(location, base)
        assert caught.value.code == "fetch_refused"
    with pytest.raises(Reject) as caught:
        guard.check_url("file:///etc/passwd", base)
    assert caught.value.code == "fetch_bad_url"


class Names:
    """A resolver whose answers are set by the test: one list of addresses per lookup."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0)


async def test_a_name_with_only_public_answers_resolves_to_all_of_them() -> None:
    names = Names(["93.184.216.34", "2606:4700:4700::1111"])
    guard = AddressGuard(lookup=names)
    assert await guard.resolve("example.com", 443) == ["93.184.216.34", "2606:4700:4700::1111"]
    assert names.asked == [("example.com", 443)]


@pytest.mark.parametrize("bad", ["127.0.0.1", "10.1.2.3", "::1", "64:ff9b::7f00:1", "fe80::1%lo"])
async def test_one_private_answer_among_public_ones_refuses_the_name(bad: str) -> None:
    guard = AddressGuard(lookup=Names(["93.184.216.34", bad]))
    with pytest.raises(Reject) as caught:
        await guard.resolve("example.com", 80)
    assert caught.value.code == "fetch_refused"
    assert bad not in caught.value.message, "the private network must not be mapped for the asker"


async def test_a_name_that_turns_private_is_refused_the_second_time() -> None:
    guard = AddressGuard(lookup=Names(["93.184.216.34"], ["127.0.0.1"]))
    assert await guard.resolve("rebind.example.com", 80) == ["93.184.216.34"]
    with pytest.raises(Reject):
        await guard.resolve("rebind.example.com", 80)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
async def test_a_name_that_does_not_resolve_may_do_so_later(error: Exception) -> None:
    async def failing(_host: str, _port: int) -> Sequence[str]:
        raise error

    with pytest.raises(Retry) as caught:
        await AddressGuard(lookup=failing).resolve("nowhere.example.com", 80)
    assert caught.value.code == "fetch_failed"


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/health"),
        ("[::1]:8000", "http://[0:0::1]:8000/health"),
        ("Service.Internal:8000", "http://service.internal.:8000/"),
    ],
)
def test_an_allowed_private_address_may_be_reached(allow: str, url: str) -> None:
    assert AddressGuard([allow]).check_url(url).port == 8000


def test_an_allowance_is_for_one_port_only() -> None:
    with pytest.raises(Reject):
        AddressGuard(["127.0.0.1:8000"]).check_url("http://127.0.0.1:6379/")


async def test_an_allowed_name_may_lead_inside_and_another_name_to_the_same_place_may_not() -> None:
    guard = AddressGuard(
        ["service.internal:8000"], lookup=Names(["10.0.0.5"], ["10.0.0.5"], ["10.0.0.5"])
    )
    assert await guard.resolve("service.internal", 8000) == ["10.0.0.5"]
    for host, port in (("other.internal", 8000), ("service.internal", 9000)):
        with pytest.raises(Reject):
            await guard.resolve(host, port)


@pytest.mark.parametrize("entry", ["127.0.0.1", "host:", ":80", "host:0", "host:http", "::1:80"])
def test_a_malformed_allowance_is_a_settings_error_that_names_it(entry: str) -> None:
    with pytest.raises(SettingsError, match="STEPLINE_FETCH_ALLOW"):
        AddressGuard([entry])


def test_no_socket_is_made_for_an_address_that_was_not_checked() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 6379))
    with pytest.raises(PermissionError):
        AddressGuard(["127.0.0.1:8000"]).open_socket(info)


async def _chunks(data: bytes, size: int = 1_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


TEXT = b"some text that repeats. " * 100
RAW_DEFLATE = zlib.compress(TEXT)[2:-4]


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("GZIP", gzip.compress(TEXT[:50], mtime=0) + gzip.compress(TEXT[50:], mtime=0)),
        ("x-gzip", gzip.compress(TEXT, mtime=0) + b"\0" * 100),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", RAW_DEFLATE),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_body_is_decoded_however_it_is_cut(encoding: str, sent: bytes, size: int) -> None:
    assert await read_capped(_chunks(sent, size), encoding, len(TEXT)) == TEXT


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("", b"x" * 1_001),
        ("gzip", gzip.compress(b"\0" * 50_000_000, mtime=0)),
        ("deflate", zlib.compress(b"\0" * 50_000_000)),
        ("gzip", gzip.compress(b"", mtime=0) * 200),
    ],
    ids=["plain", "gzip bomb", "deflate bomb", "endless empty members"],
)
async def test_a_body_is_cut_off_where_it_outgrows_the_cap(encoding: str, sent: bytes) -> None:
    with pytest.raises(Reject) as caught:
        await read_capped(_chunks(sent), encoding, 1_000)
    assert caught.value.code == "fetch_too_large"


async def test_a_bomb_is_never_unpacked_beyond_the_cap_even_in_memory() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, mtime=0)
    tracemalloc.start()
    try:
        with pytest.raises(Reject):
            await read_capped(_chunks(bomb, len(bomb)), "gzip", 1_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("encoding", "sent", "kind"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)[:-20], Retry),
        ("gzip", b"not gzip at all", Retry),
        ("br", b"x", Reject),
        ("gzip, gzip", b"x", Reject),
    ],
)
async def test_a_broken_body_is_an_error_not_half_a_body(
    encoding: str, sent: bytes, kind: type[HandlerError]
) -> None:
    with pytest.raises(kind) as caught:
        await read_capped(_chunks(sent), encoding, 10_000)
    assert caught.value.code == "fetch_failed"


@pytest.mark.parametrize(
    ("named", "used"),
    [
        (None, "utf-8"),
        ("GB2312", "gb2312"),
        ("latin-1", "iso8859-1"),
        ("hex", "utf-8"),
        ("punycode", "utf-8"),
        ("undefined", "utf-8"),
        ("no-such-charset", "utf-8"),
        ("nul\0", "utf-8"),
    ],
)
def test_a_charset_is_one_that_text_can_be_decoded_with(named: str | None, used: str) -> None:
    assert fit_charset(named) == used
