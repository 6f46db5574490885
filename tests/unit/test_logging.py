"""Logs tell where something broke, and never a secret or what users sent."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from infra.logging import configure_logging, redact_text
from infra.settings import Settings

SECRET = "Swordfish-1234567890-abcdefghijk"
BROKER = f"amqp://stepline:{SECRET}@rabbit/"
FORMATS = pytest.mark.parametrize("log_format", ["json", "pretty"])


@contextmanager
def logging_as(log_format: Any) -> Iterator[Settings]:
    """Logging as a process sets it up. Within the test: before it, pytest puts handlers in."""
    root = logging.getLogger()
    before, level, configured = root.handlers[:], root.level, structlog.get_config()
    settings = Settings(broker_url=BROKER, log_format=log_format)
    try:
        configure_logging(settings)
        yield settings
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.configure(**configured)


def fail_among_secrets(settings: Settings, payload: dict[str, Any]) -> None:
    sender, url = payload["sender"], settings.broker_url
    raise ValueError(f"{len(sender)} cannot be sent to {url}")


@FORMATS
def test_a_traceback_shows_the_way_and_no_variables(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_as(log_format) as settings:
        for logger in (structlog.get_logger("ours"), logging.getLogger("theirs")):
            try:
                fail_among_secrets(settings, {"sender": "private@company.com"})
            except ValueError:
                logger.exception("it broke")
    written = capsys.readouterr().err

    assert written.count("it broke") == 2
    assert written.count("fail_among_secrets") >= 2
    assert "amqp://stepline:***@rabbit/" in written
    assert SECRET[:10] not in written, "whole, or cut short"
    assert "private@company.com" not in written.replace('{"sender": "private@company.com"}', "")


@FORMATS
def test_no_value_brings_a_secret_along(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_as(log_format) as settings:
        log = structlog.get_logger("ours")
        log.error("whole settings", settings=settings)
        log.error("bytes", raw=BROKER.encode(), error=OSError(BROKER))
        log.error("nested", list=[{"url": (BROKER,)}], database_password=SECRET)
        logging.getLogger("theirs").error("no way to %s", BROKER)
    written = capsys.readouterr().err

    assert SECRET[:10] not in written
    assert written.count("***") == 6


def test_numbers_and_texts_stay_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json"):
        structlog.get_logger("ours").info("it", count=3, part=0.5, none=None, yes=True, text="é")
    line = json.loads(capsys.readouterr().err)

    assert {"count": 3, "part": 0.5, "none": None, "yes": True, "text": "é"}.items() <= line.items()


@pytest.mark.parametrize(
    "text",
    [
        f"X-API-Key: ci.{SECRET}",
        f"{{'password': '{SECRET}'}}",
        f'{{"access_token": "{SECRET}"}}',
        f"connect(password={SECRET}, host=db)",
        f"/events?ticket={SECRET}",
        f"Authorization: Bearer {SECRET}",
    ],
)
def test_a_secret_is_known_by_its_name(text: str) -> None:
    assert SECRET not in redact_text(text)
    assert "***" in redact_text(text)
