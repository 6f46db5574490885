"""The dashboard as a web application: its pages, its files, signing in and out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from nicegui import app as nicegui_app
from nicegui import json, ui
from stepline.errors import SteplineError, Unauthorized

from dashboard.guard import LOOPBACK, Guard
from dashboard.i18n import Texts, choose_language
from dashboard.kit import WEB, box, words
from dashboard.sessions import COOKIE, Session, Sessions
from dashboard.shell import Shell
from dashboard.source import Source
from dashboard.viewer import Viewer

STYLES = ("tokens.css", "layout.css", "components.css")
LONGEST_FORM = 2_000


@dataclass(frozen=True)
class Options:
    """What the dashboard shows, and to whom."""

    url: str
    api_key: str | None = None
    read_only: bool = False
    sign_in: bool = False
    """Show nothing without a key, whatever the API says: for whoever serves other machines."""
    hosts: tuple[str, ...] = LOOPBACK
    rabbitmq_url: str | None = None
    """RabbitMQ's own management pages, to link to."""


def create_app(options: Options) -> FastAPI:
    sessions = Sessions(options.url, options.api_key)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await sessions.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    _signing(app, sessions, options)
    nicegui_app.add_static_files("/assets", WEB, max_cache_age=31_536_000)
    _pages(sessions, options)  # last: they take every other address
    ui.run_with(
        app,
        title="Stepline",
        favicon=WEB / "logo.svg",
        dark=None,
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=20.0,
        message_history_length=200,
        show_welcome_message=False,
    )
    app.add_middleware(Guard, hosts=options.hosts)
    return app


def _pages(sessions: Sessions, options: Options) -> None:
    @ui.page("/login")
    async def login(request: Request) -> None:
        texts = _texts(request)
        _head(request, texts)
        _login_form(texts, request.query_params.get("why", ""))

    @ui.page("/", response_timeout=20.0)
    @ui.page("/{address:path}", response_timeout=20.0)
    async def shell(request: Request, address: str = "") -> Response | None:
        del address  # the shell finds its page by the whole address
        session = sessions.of(request.cookies.get(COOKIE))
        if session.name is None and (options.sign_in or await _asks_for_key(session)):
            return RedirectResponse("/login", 303)
        texts = _texts(request)
        _head(request, texts)
        viewer = Viewer(
            client=ui.context.client,
            source=session.source,
            live=session.live,
            texts=texts,
            read_only=options.read_only,
            rabbitmq_url=options.rabbitmq_url,
            key_name=session.name if session.key != options.api_key else None,
        )
        query = f"?{request.url.query}" if request.url.query else ""
        await Shell(viewer).open(request.url.path + query)
        return None


async def _asks_for_key(session: Session) -> bool:
    try:
        await session.source.tasks({}, limit=1)
    except Unauthorized:
        return True
    except SteplineError:
        return False  # the page says what stands in the way
    return False


def _texts(request: Request) -> Texts:
    return Texts(
        choose_language(
            request.query_params.get("lang") or request.cookies.get("stepline_lang"),
            request.headers.get("accept-language", ""),
        )
    )


def _head(request: Request, texts: Texts) -> None:
    """Styles and the words of the browser's parts: ours, never data."""
    theme = request.query_params.get("theme") or request.cookies.get("stepline_theme")
    boot = {
        "language": texts.language,
        "theme": theme if theme in ("light", "dark") else "auto",
        "now": round(time.time() * 1000),
        "texts": texts.for_browser(),
    }
    version = _version()
    for name in STYLES:
        ui.add_head_html(f'<link rel="stylesheet" href="/assets/{name}?v={version}">')
    ui.add_head_html(
        f"<script>document.documentElement.lang = {json.dumps(texts.language)}; "
        f"window.stepline = {json.dumps(boot)};</script>"
        f'<script src="/assets/shell.js?v={version}"></script>'
    )


def _version() -> str:
    """Changes with the files, so that browsers may keep them for good."""
    digest = hashlib.sha256()
    for path in sorted(WEB.glob("*.*s*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _login_form(texts: Texts, why: str) -> None:
    with box("sl-login"), box("sl-card"):
        with box("sl-brand").style("padding: 0"):
            box("logo", "span")
            words("Stepline")
        words(texts("login_hint"), tag="p")
        form = box("sl-form", "form").props("method=post action=/login")
        with form:
            with box("row", "label"):
                words(texts("api_key"), "label")
                field = box("sl-field", "input").props(
                    "type=password name=key required autofocus autocomplete=current-password"
                )
                field.props["placeholder"] = "name.secret"
            if why in ("wrong", "open"):
                words(texts(f"login_{why}"), "wrong", "p").props("role=alert")
            with box("sl-button primary", "button").props("type=submit"):
                words(texts("sign_in"))


def _signing(app: FastAPI, sessions: Sessions, options: Options) -> None:
    @app.post("/login")
    async def sign_in(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LONGEST_FORM:
                return PlainTextResponse("This form is too long.\n", 413)
        given = parse_qs(body.decode(errors="replace")).get("key", [""])[0].strip()
        if not await _asks_for_key(sessions.of(None)):
            # a key means nothing to an API that asks for none: it is for its own machine alone
            return RedirectResponse("/login?why=open" if options.sign_in else "/", 303)
        source = Source(options.url, given)
        try:
            await source.tasks({}, limit=1)
        except SteplineError:
            return RedirectResponse("/login?why=wrong", 303)
        finally:
            await source.close()
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            sessions.begin(given),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @app.get("/logout")
    async def sign_out(request: Request) -> Response:
        sessions.end(request.cookies.get(COOKIE))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer
