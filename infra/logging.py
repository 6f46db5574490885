"""Logs: one event a line, pretty on a terminal and JSON otherwise, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from infra.log_context import add_log_context
from infra.settings import Settings

SECRET_KEYS = re.compile(
    r"password|passwd|secret|token|api_?key|authorization|cookie|credential", re.IGNORECASE
)
URL_CREDENTIALS = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@", re.IGNORECASE)
BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}")
QUERY_SECRET = re.compile(r"(?i)([?&](?:ticket|token|key|api_key|password|secret)=)[^&\s]+")
NAMED_SECRET = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[_-]?key)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&)\]}]+"
)
HARMLESS = (int, float, type(None))
HIDDEN = "***"


def redact_text(text: str) -> str:
    """Hide credentials inside a text: in URLs, in authorization headers, in queries."""
    text = URL_CREDENTIALS.sub(rf"\g<head>:{HIDDEN}@", text)
    text = BEARER.sub(rf"\1 {HIDDEN}", text)
    text = QUERY_SECRET.sub(rf"\1{HIDDEN}", text)
    return NAMED_SECRET.sub(rf"\1{HIDDEN}", text)


def redact_value(key: str, value: Any) -> Any:
    """Hide what a key calls secret, and what looks secret anywhere below. What is no JSON becomes
    the text that the log would make of it, since that may hold anything."""
    if SECRET_KEYS.search(key):
        return HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {name: redact_value(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value("", item) for item in value]
    return value if isinstance(value, HARMLESS) else redact_text(repr(value))


def _plain(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """uvicorn sends a coloured copy of its message along."""
    event.pop("color_message", None)
    return event


# Where it broke, never with what: a frame's variables are users' data and our passwords.
TRACEBACK_AS_TEXT: Processor = structlog.processors.format_exc_info
TRACEBACK_AS_DATA: Processor = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: redact_value(key, value) for key, value in event.items()}


def configure_logging(settings: Settings) -> None:
    """Route structlog and the standard library's loggers through one pipeline to stderr."""
    level = getattr(logging, settings.log_level.upper())
    pretty = settings.log_format == "pretty" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_log_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    final: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _plain,
        TRACEBACK_AS_TEXT if pretty else TRACEBACK_AS_DATA,
        _redact,
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiormq", "aio_pika", "aiosqlite", "alembic", "httpx2", "httpcore2", "asyncio"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
