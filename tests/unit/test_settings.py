"""Settings: what they default to, what they refuse, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.keys import find_key, hash_secret, parse_keys
from infra.codec import now
from infra.env_example import render
from infra.logging import redact_text, redact_value
from infra.settings import Settings, SettingsError, load_settings, redact

ROOT = Path(__file__).parents[2]
REAL = {
    "broker_url": "amqp://stepline:pw@rabbit/",
    "redis_url": "redis://redis:6379/0",
    "database_url": "mysql+aiomysql://stepline:pw@db/stepline",
    "smtp_url": "smtp://mail:25",
}


def test_the_example_names_every_setting_as_it_is() -> None:
    assert (ROOT / ".env.example").read_text() == render()


def test_the_defaults_are_the_embedded_stack() -> None:
    settings = Settings()

    assert settings.embedded_parts == {"BROKER_URL", "REDIS_URL", "DATABASE_URL", "SMTP_URL"}
    assert settings.resolved_database_url.endswith("/var/stepline.db")
    assert settings.resolved_exports_url.endswith("/var/exports")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"broker_url": "rabbit"},
            "STEPLINE_BROKER_URL: must begin with one of memory://, amqp://",
        ),
        ({"redis_url": "http://x"}, "STEPLINE_REDIS_URL: must begin with"),
        ({"api_port": "99999"}, "STEPLINE_API_PORT"),
        ({"routes": "quick"}, "STEPLINE_ROUTES: 'quick' is not of the form type=queue"),
        ({"worker_concurrency": 0}, "STEPLINE_WORKER_CONCURRENCY"),
        ({"env": "production"}, "needs a real service: set STEPLINE_BROKER_URL"),
        ({"env": "production", **REAL}, "needs STEPLINE_API_KEYS"),
        (
            {
                "env": "production",
                **REAL,
                "broker_url": "amqp://guest:guest@rabbit/",
                "api_keys": "a:" + "0" * 64,
            },
            "refuses default credentials in amqp://guest:***@rabbit/",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_name(values: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(**values)

    assert words in refused.value.message


def test_an_unknown_setting_is_a_spelling_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLINE_BROKER_ULR", "amqp://x")

    with pytest.raises(SettingsError, match="unknown setting STEPLINE_BROKER_ULR"):
        load_settings()


def test_lists_and_routes_are_read_from_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPLINE_WORKER_QUEUES", "quick_tasks, history")
    monkeypatch.setenv("STEPLINE_ROUTES", "quick=long_tasks, email = bulk")

    settings = load_settings()

    assert settings.worker_queues == ("quick_tasks", "history")
    assert settings.routes == {"quick": "long_tasks", "email": "bulk"}


def test_a_process_of_its_own_needs_services_that_others_reach() -> None:
    with pytest.raises(SettingsError, match=r"STEPLINE_BROKER_URL and STEPLINE_REDIS_URL"):
        Settings().require_shared("./task worker")
    Settings(**REAL).require_shared("./task worker")


def test_other_machines_are_served_only_with_keys() -> None:
    with pytest.raises(SettingsError, match="STEPLINE_API_KEYS"):
        Settings(api_host="0.0.0.0").require_safe_address()
    Settings(api_host="0.0.0.0", api_keys=("a:" + "0" * 64,)).require_safe_address()
    Settings().require_safe_address()


def test_the_demonstrations_may_fetch_the_api_itself_outside_production() -> None:
    assert Settings(api_port=9).fetchable == ("127.0.0.1:9",)
    assert Settings(api_host="::1", api_port=9, fetch_allow=("a:1",)).fetchable == (
        "a:1",
        "[::1]:9",
    )
    production = Settings(env="production", api_keys=("a:" + "0" * 64,), **REAL)
    assert production.fetchable == ()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:pa%40ss@host:5672/v", "amqp://user:***@host:5672/v"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("redis://host/0", "redis://host/0"),
        ("memory://", "memory://"),
    ],
)
def test_no_password_is_ever_shown(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("password", "x", "***"),
        ("api_key", "x", "***"),
        ("url", "mysql://u:secret@h/d?x=1", "mysql://u:***@h/d?x=1"),
        ("header", "Bearer abcdefghijkl", "Bearer ***"),
        ("path", "/events?ticket=abc&x=1", "/events?ticket=***&x=1"),
        (
            "nested",
            {"token": "x", "ok": ["http://a:b@c"]},
            {"token": "***", "ok": ["http://a:***@c"]},
        ),
        ("number", 5, 5),
    ],
)
def test_logs_keep_no_secret(key: str, value: object, shown: object) -> None:
    assert redact_value(key, value) == shown


def test_redaction_leaves_plain_text_alone() -> None:
    assert redact_text("task 01a2 took 3.5 s: see http://host/path") == (
        "task 01a2 took 3.5 s: see http://host/path"
    )


def test_keys_are_known_by_their_hash_and_their_day() -> None:
    digest = hash_secret("secret")
    keys = parse_keys([f"ci:{digest}", f"old:{digest}:2020-01-01"])
    today = now().date()

    assert find_key(keys, "ci.secret", today) == keys[0]
    assert find_key(keys, "old.secret", today) is None
    for wrong in ("ci.other", "other.secret", "secret", "", "ci."):
        assert find_key(keys, wrong, today) is None


@pytest.mark.parametrize(
    "entry", ["plain-secret", "a:b", "a b:" + "0" * 64, "a:" + "0" * 64 + ":soon"]
)
def test_a_malformed_key_stops_the_start(entry: str) -> None:
    with pytest.raises(SettingsError, match="STEPLINE_API_KEYS"):
        parse_keys([entry])
