"""Settings: what they default to, what they refuse, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.keys import find_key, hash_secret, parse_keys
from handlers.plugins import full_registry
from handlers.registry import UnknownName
from infra.codec import now
from infra.env_example import render
from infra.exports import open_exports
from infra.history.engine import make_engine
from infra.logging import redact_text, redact_value
from infra.settings import Settings, SettingsError, load_settings, redact

ROOT = Path(__file__).parents[2]
KEY = "a:" + "0" * 64
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
        (
            {"env": "production", **REAL, "broker_url": "amqp://rabbit/", "api_keys": KEY},
            "refuses default credentials in amqp://rabbit/",
        ),
        ({"broker_url": "amqp://"}, "STEPLINE_BROKER_URL: names no host"),
        ({"broker_url": "amqp://u:p@a,,b/"}, "STEPLINE_BROKER_URL: names no host"),
        ({"broker_url": "amqp://user:pa/ss@host/"}, "written %2F or %40"),
        ({"redis_url": "redis://host:port/0"}, "STEPLINE_REDIS_URL: its port is no port"),
        ({"redis_url": "redis://host/first"}, "STEPLINE_REDIS_URL: must be redis://host:port/N"),
        ({"cron_redis_url": "amqp://x"}, "STEPLINE_CRON_REDIS_URL: must begin with one of fake://"),
        ({"database_url": "mysql+aiomysql://u:p@host"}, "must name one host and a database"),
        ({"database_url": "mysql+aiomysql://u:p@host:x/db"}, "its port is no port"),
        ({"database_url": "sqlite+aiosqlite://"}, "must name a file"),
        ({"smtp_url": "smtp://"}, "STEPLINE_SMTP_URL: names no host"),
        ({"exports_url": "s3://"}, "must name a bucket"),
        ({"exports_url": "file://exports"}, "must be an absolute path"),
        ({"api_url": "http://"}, "STEPLINE_API_URL: names no host"),
        (
            {"cors_origins": "app.company.com"},
            "'app.company.com' is no origin",
        ),
        ({"cors_origins": "https://a.b,https://c.d/"}, "'https://c.d/' is no origin"),
        ({"allowed_hosts": "http://a.b"}, "STEPLINE_ALLOWED_HOSTS: 'http://a.b' is no host name"),
        ({"allowed_hosts": "a.b:8000"}, "without scheme and port"),
        ({"mail_from": "nobody"}, "STEPLINE_MAIL_FROM: must be an address"),
        ({"mail_from": "a@b.co\nBcc: c@d.co"}, "STEPLINE_MAIL_FROM: must be an address"),
        ({"routes": "quick=history"}, "STEPLINE_ROUTES: no work queue may be named 'history'"),
        ({"routes": "quick="}, "STEPLINE_ROUTES: no work queue may be named ''"),
        ({"publish_timeout": "inf"}, "STEPLINE_PUBLISH_TIMEOUT: Input should be a finite number"),
        ({"history_days": 1, "state_ttl": 864000}, "STEPLINE_HISTORY_DAYS=1 is less than"),
    ],
)
def test_what_is_wrong_is_said_with_its_name(values: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(**values)

    assert words in refused.value.message


@pytest.mark.parametrize(
    "values",
    [
        {"broker_url": "amqps://u:p%40ss@a:5671,b/vhost"},
        {"broker_url": "amqp://guest:guest@[::1]:5672/%2F"},
        {"redis_url": "rediss://:pw@host:6380/3"},
        {"redis_url": "redis://host"},
        {"redis_url": "unix:///run/redis.sock"},
        {"database_url": "sqlite+aiosqlite:////srv/stepline.db"},
        {"exports_url": "s3://bucket/some/prefix"},
        {"exports_url": "file:///srv/exports"},
        {"api_url": "https://tasks.company.com/"},
        {"cors_origins": "*"},
        {"cors_origins": "http://localhost:5173, https://app.company.com"},
        {"allowed_hosts": "*"},
        {"allowed_hosts": "Tasks.Company.com, 10.0.0.5, [::1]"},
        {"mail_from": "Stepline <it@company.com>"},
        {"routes": "quick=imports.fast"},
        {"history_days": 1},
    ],
)
def test_what_is_right_is_taken(values: dict[str, str]) -> None:
    load_settings(**values)


def test_a_route_of_a_type_that_nobody_has_is_a_spelling_mistake() -> None:
    with pytest.raises(UnknownName, match="STEPLINE_ROUTES sends 'quik'"):
        full_registry().queues({"quik": "long_tasks"})


def test_one_process_cannot_be_several() -> None:
    for values in ({"worker_processes": 2}, {"worker_max_tasks": 5}):
        with pytest.raises(SettingsError, match=r"are for `\./task worker`"):
            Settings(**values).require_single("./task dev")
    Settings().require_single("./task dev")


def test_a_folder_that_cannot_be_made_is_told_with_its_setting(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()

    with pytest.raises(SettingsError, match="STEPLINE_EXPORTS_URL"):
        open_exports((occupied / "exports").as_uri())
    with pytest.raises(SettingsError, match="STEPLINE_DATA_DIR"):
        make_engine(f"sqlite+aiosqlite:///{occupied}/stepline.db")


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
        ("amqp://user:pa/s@s@host/v", "amqp://user:***@host/v"),
        ("amqp://user:pw@a,user:pw@b/v", "amqp://user:***@b/v"),
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
