"""The fetcher against real servers on loopback, which it reaches by the allow-list alone."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stepline.authoring import Fetched, Fetcher
from stepline.errors import HandlerError, Reject, Retry

from infra.fetch import GuardedFetcher

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handle: Handle, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that answers everything by `handle`; gives its port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    assert site._server is not None
    try:
        yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "path": request.path_qs,
            "host": request.headers.get("Host"),
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": (await request.read()).decode(),
        }
    )


async def get(port: int, path: str = "/", *, host: str = "127.0.0.1", **options: Any) -> Fetched:
    async with GuardedFetcher([f"{host}:{port}"]) as fetcher:
        return await fetcher.request("GET", f"http://{host}:{port}{path}", **options)


async def refusal(port: int, path: str = "/", **options: Any) -> HandlerError:
    with pytest.raises(HandlerError) as caught:
        await get(port, path, **options)
    return caught.value


def read(fetched: Fetched) -> Any:
    return json.loads(fetched.body)


async def test_an_answer_comes_with_status_type_body_charset_and_time() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            status=404,
            body="没有".encode("gb2312"),
            headers={"Content-Type": "text/x; charset=gb2312"},
        )

    async with serving(answer) as port:
        fetched = await get(port, "/missing?a=1")
    assert fetched.url == f"http://127.0.0.1:{port}/missing?a=1"
    assert (fetched.status_code, fetched.content_type) == (404, "text/x")
    assert fetched.body.decode(fetched.charset) == "没有"
    assert 0 < fetched.response_time < 10


async def test_method_headers_and_body_arrive_and_ours_cannot_be_overridden() -> None:
    async with serving(echo) as port, GuardedFetcher([f"127.0.0.1:{port}"]) as guarded:
        fetcher: Fetcher = guarded
        fetched = await fetcher.request(
            "post",
            f"http://127.0.0.1:{port}/hook",
            headers={"X-Trace": "1", "Host": "evil.example", "Accept-Encoding": "br"},
            body=b"hello",
        )
    seen = read(fetched)
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/hook", "hello")
    assert seen["host"] == f"127.0.0.1:{port}"
    assert seen["headers"]["x-trace"] == "1"
    assert seen["headers"]["accept-encoding"] == "gzip, deflate"


async def test_nothing_on_loopback_is_reached_without_an_allowance() -> None:
    reached = []

    async def note(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    async with serving(note) as port, GuardedFetcher() as fetcher:
        for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
            with pytest.raises(Reject) as caught:
                await fetcher.request("GET", f"http://{host}:{port}/")
            assert caught.value.code == "fetch_refused"
    assert reached == []


async def test_a_name_of_the_system_is_refused_or_allowed_like_any_other() -> None:
    async with serving(echo) as port:
        seen = read(await get(port, "/named", host="localhost"))
    assert (seen["path"], seen["host"]) == ("/named", f"localhost:{port}")


async def test_an_environment_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(echo) as port, serving(echo) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        assert read(await get(port, "/direct"))["path"] == "/direct"


class Names:
    """A resolver that gives its answers one after the other, and counts."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return [self._answers.pop(0)]


async def test_the_connection_goes_to_the_address_that_was_checked_with_the_name_as_host() -> None:
    names = Names("127.0.0.1")
    async with (
        serving(echo) as port,
        GuardedFetcher([f"checked.example:{port}"], lookup=names) as fetcher,
    ):
        first = read(await fetcher.request("GET", f"http://checked.example:{port}/"))
        again = read(await fetcher.request("GET", f"http://checked.example:{port}/"))
    assert first["host"] == again["host"] == f"checked.example:{port}"
    assert names.asked == 1, "a second answer, possibly another one, was asked for"


async def test_a_name_that_rebinds_between_two_requests_is_refused() -> None:
    async def close(request: web.Request) -> web.Response:
        response = await echo(request)
        response.force_close()
        return response

    async with (
        serving(close) as port,
        GuardedFetcher([f"127.0.0.1:{port}"], lookup=Names("127.0.0.1", "127.0.0.2")) as fetcher,
    ):
        url = f"http://rebind.example:{port}/"
        assert (await fetcher.request("GET", url)).status_code == 200
        with pytest.raises(Reject) as caught:
            await fetcher.request("GET", url)
    assert caught.value.code == "fetch_refused"


async def test_ipv6_is_fetched_like_ipv4() -> None:
    async with serving(echo, "::1") as port:
        assert read(await get(port, "/six", host="[::1]"))["path"] == "/six"
        async with GuardedFetcher() as fetcher:
            with pytest.raises(Reject):
                await fetcher.request("GET", f"http://[::1]:{port}/six")


def redirecting(location: str, status: int = 302) -> Handle:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/end":
            return await echo(request)
        return web.Response(status=status, headers={"Location": location})

    return handle


async def test_a_relative_redirect_is_followed_and_the_final_url_told() -> None:
    async with serving(redirecting("/end?x=1")) as port:
        fetched = await get(port, "/start")
    assert fetched.url == f"http://127.0.0.1:{port}/end?x=1"
    assert fetched.status_code == 200


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://127.0.0.1:1/", "fetch_refused"),
        ("http://169.254.169.254/latest/meta-data/", "fetch_refused"),
        ("//[::1]/", "fetch_refused"),
        ("http://2130706433/", "fetch_refused"),
        ("http://localhost:1/", "fetch_refused"),
        ("http://user:pass@example.com/", "fetch_refused"),
        ("file:///etc/passwd", "fetch_bad_url"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "fetch_bad_url"),
    ],
)
async def test_a_redirect_to_where_fetching_may_not_go_is_refused(location: str, code: str) -> None:
    async with serving(redirecting(location)) as port:
        error = await refusal(port, "/start")
    assert isinstance(error, Reject)
    assert error.code == code


async def test_three_redirects_are_followed_and_a_fourth_is_not() -> None:
    async def countdown(request: web.Request) -> web.Response:
        left = int(request.query["left"])
        if left == 0:
            return web.Response(text="there")
        return web.Response(status=302, headers={"Location": f"/?left={left - 1}"})

    async with serving(countdown) as port:
        assert (await get(port, "/?left=3")).body == b"there"
        error = await refusal(port, "/?left=4")
    assert error.code == "fetch_too_many_redirects"


async def test_a_redirect_loop_ends() -> None:
    async with serving(redirecting("/again")) as port:
        error = await refusal(port)
    assert (type(error), error.code) == (Reject, "fetch_too_many_redirects")


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "POST", "data"),
        (302, "POST", "data"),
        (303, "GET", ""),
        (307, "POST", "data"),
        (308, "POST", "data"),
    ],
)
async def test_a_redirected_post_stays_a_post_but_for_see_other(
    status: int, method: str, body: str
) -> None:
    async with (
        serving(redirecting("/end", status)) as port,
        GuardedFetcher([f"127.0.0.1:{port}"]) as fetcher,
    ):
        fetched = await fetcher.request(
            "POST",
            f"http://127.0.0.1:{port}/start",
            headers={"Content-Type": "text/plain"},
            body=b"data",
        )
    seen = read(fetched)
    assert (seen["method"], seen["body"]) == (method, body)
    assert ("content-type" in seen["headers"]) is (method == "POST")


CREDENTIALS = {"Authorization": "Bearer t", "Cookie": "a=b", "X-Api-Key": "k"}


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_credentials_stay_with_the_origin_they_were_meant_for(elsewhere: bool) -> None:
    async with serving(echo) as other, serving(echo) as unused:
        target = other if elsewhere else unused

        async def handle(request: web.Request) -> web.StreamResponse:
            if request.path == "/end":
                return await echo(request)
            there = f"http://127.0.0.1:{target}/end" if elsewhere else "/end"
            return web.Response(status=307, headers={"Location": there})

        async with (
            serving(handle) as port,
            GuardedFetcher([f"127.0.0.1:{port}", f"127.0.0.1:{target}"]) as fetcher,
        ):
            fetched = await fetcher.request(
                "GET",
                f"http://127.0.0.1:{port}/start",
                headers={**CREDENTIALS, "Accept": "application/json"},
            )
    headers = read(fetched)["headers"]
    assert headers["accept"] == "application/json"
    for name in CREDENTIALS:
        assert (name.lower() in headers) is not elsewhere, name


async def test_cookies_are_not_kept_from_one_request_to_the_next() -> None:
    async def bake(request: web.Request) -> web.Response:
        response = web.Response(text=request.headers.get("Cookie", "none"))
        response.set_cookie("session", "secret")
        return response

    async with (
        serving(bake) as port,
        GuardedFetcher([f"name.example:{port}"], lookup=Names("127.0.0.1")) as fetcher,
    ):
        url = f"http://name.example:{port}/"
        await fetcher.request("GET", url)
        assert (await fetcher.request("GET", url)).body == b"none"


async def test_a_compressed_answer_is_decoded() -> None:
    async def zipped(_request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"})

    async with serving(zipped) as port:
        assert (await get(port)).body == b"plain"


async def test_a_gzip_bomb_is_cut_at_the_cap() -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)

    async def explode(_request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serving(explode) as port:
        error = await refusal(port, max_bytes=1_000_000)
    assert len(bomb) < 1_000_000, "what travels is small: only the decoded size tells"
    assert (type(error), error.code) == (Reject, "fetch_too_large")


@pytest.mark.parametrize("announced", [True, False])
async def test_an_oversized_answer_is_cut_whether_announced_or_not(announced: bool) -> None:
    async def large(request: web.Request) -> web.StreamResponse:
        if announced:
            return web.Response(body=b"x" * 20_000)
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 1_000)
        return response

    async with serving(large) as port:
        error = await refusal(port, max_bytes=10_000)
    assert (type(error), error.code) == (Reject, "fetch_too_large")


async def test_an_answer_of_exactly_the_cap_is_taken() -> None:
    async def exact(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 10_000)

    async with serving(exact) as port:
        assert len((await get(port, max_bytes=10_000)).body) == 10_000


async def test_the_timeout_spans_a_body_that_trickles() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b".")
                await asyncio.sleep(0.02)
        return response

    async with serving(trickle) as port:
        error = await refusal(port, timeout=0.2)
    assert (type(error), error.code) == (Retry, "fetch_timeout")


async def test_the_timeout_spans_a_name_that_does_not_resolve_in_time() -> None:
    async def silent(_host: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async with GuardedFetcher(lookup=silent) as fetcher:
        with pytest.raises(Retry) as caught:
            await fetcher.request("GET", "http://slow.example/", timeout=0.1)
    assert caught.value.code == "fetch_timeout"


async def test_a_refused_connection_may_be_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await refusal(port)
    assert (type(error), error.code) == (Retry, "fetch_failed")


async def test_an_answer_that_breaks_off_may_be_tried_again() -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(broken) as port:
        error = await refusal(port)
    assert (type(error), error.code) == (Retry, "fetch_failed")


async def test_cancelling_a_fetch_is_a_cancellation_not_a_timeout() -> None:
    asked = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("never")

    async with serving(hang) as port:
        fetching = asyncio.create_task(get(port))
        await asked.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching


async def test_tls_names_the_host_and_refuses_a_certificate_that_nobody_vouches_for(
    tmp_path: Path,
) -> None:
    named: list[str | None] = []
    tls = self_signed(tmp_path, "checked.example")
    tls.sni_callback = lambda _socket, name, _context: named.append(name)

    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        GuardedFetcher([f"checked.example:{port}"], lookup=Names("127.0.0.1")) as fetcher,
    ):
        with pytest.raises(Retry) as caught:
            await fetcher.request("GET", f"https://checked.example:{port}/")
    assert named == ["checked.example"]
    assert caught.value.code == "fetch_failed"
    assert "certificate" in caught.value.message.lower()


def self_signed(folder: Path, name: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
