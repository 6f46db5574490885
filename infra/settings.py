"""Every setting, read once from the environment (`STEPLINE_*`) and passed on; never a global.

There is no mode: the defaults are the embedded stack, and each URL replaces one part of it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from stepline.errors import SteplineError

from infra import setting_rules as rules

CommaList = Annotated[tuple[str, ...], NoDecode]


def where_given(rule: Callable[[str], str]) -> AfterValidator:
    """The rule, for a setting that may be empty."""
    return AfterValidator(lambda value: value and rule(value))


def each(rule: Callable[[str], str]) -> AfterValidator:
    """The rule, for every entry of a list."""
    return AfterValidator(lambda values: tuple(rule(value) for value in values))


BrokerURL = Annotated[str, AfterValidator(rules.broker)]
RedisURL = Annotated[str, AfterValidator(rules.redis)]
Sender = Annotated[str, AfterValidator(rules.sender)]
Origins = Annotated[CommaList, each(rules.origin)]
Hosts = Annotated[CommaList, each(rules.host_name)]


COMMA_LISTS = ("api_keys", "allowed_hosts", "cors_origins", "fetch_allow", "worker_queues")


class SettingsError(SteplineError):
    """A setting is wrong or two contradict each other; the message says which, and the mend."""

    code = "bad_settings"


class Settings(BaseSettings):
    """The whole configuration. Each field is `STEPLINE_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="STEPLINE_", frozen=True, extra="ignore")

    env: Literal["development", "production"] = Field(
        "development",
        description="production refuses embedded URLs, outbox mail, default credentials and a "
        "missing API key, and turns the demonstrations off",
    )
    broker_url: BrokerURL = Field(
        "memory://", description="memory:// or amqp://user:pass@host:5672/vhost (hosts by comma)"
    )
    redis_url: RedisURL = Field(
        "fake://", description="fake:// or redis://host:6379/0 or rediss://"
    )
    cron_redis_url: Annotated[str, where_given(rules.redis)] = Field(
        "", description="Redis of the cron process; empty: the same as redis_url"
    )
    database_url: Annotated[str, where_given(rules.database)] = Field(
        "", description="empty: SQLite in the data folder; mysql+aiomysql://user:pass@host/db"
    )
    smtp_url: Annotated[str, where_given(rules.smtp)] = Field(
        "", description="empty: mails become .eml files in the outbox; smtp://user:pass@host:587"
    )
    mail_from: Sender = Field("stepline@localhost", description="sender of every mail")
    exports_url: Annotated[str, where_given(rules.exports)] = Field(
        "", description="empty: files in the data folder; file:///path or s3://bucket/prefix"
    )
    data_dir: Path = Field(Path("var"), description="where the embedded stack keeps its files")

    api_host: str = Field("127.0.0.1", description="address the API listens on")
    api_port: int = Field(8000, ge=0, le=65_535, description="port of the API; 0 takes a free one")
    api_url: Annotated[str, where_given(rules.api_url)] = Field(
        "", description="how workers reach the API; empty: http://<api_host>:<api_port>"
    )
    api_keys: CommaList = Field(
        (),
        description="name:sha256[:YYYY-MM-DD] of each key that may call the API, by comma "
        "(./task key makes one); empty: no key is asked, and only loopback is served",
    )
    allowed_hosts: Hosts = Field(
        (),
        description="Host headers to admit, by comma; empty: loopback names and that of api_url, "
        "or any where keys are asked",
    )
    cors_origins: Origins = Field((), description="browser origins to admit, by comma")
    max_body_bytes: int = Field(10_000_000, ge=1_000, description="largest request body, bytes")
    publish_timeout: float = Field(
        5.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds to wait for the broker's confirm before answering 503",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="address on which workers and cron serve /metrics"
    )
    metrics_port: int = Field(
        9464,
        ge=0,
        le=65_535,
        description="first port to try for the /metrics of a worker or cron; 0: none",
    )
    dashboard_host: str = Field(
        "127.0.0.1", description="address of the dashboard; with another, its viewers sign in"
    )
    dashboard_port: int = Field(5555, ge=0, le=65_535, description="port of the dashboard")

    fetch_allow: CommaList = Field(
        (), description="host:port by comma: private addresses that fetching may reach"
    )

    worker_concurrency: int = Field(16, ge=1, le=10_000, description="tasks at once, per queue")
    worker_prefetch: int = Field(
        0, ge=0, le=65_535, description="messages held per queue; 0: as many as the concurrency"
    )
    worker_queues: CommaList = Field(
        (), description="queues to work on, by comma; empty: all, and history"
    )
    worker_processes: int = Field(1, ge=1, le=256, description="worker processes to run")
    worker_max_tasks: int = Field(
        0, ge=0, description="drain and replace a process after this many tasks; 0: never"
    )
    worker_grace: float = Field(
        20.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds running steps get at shutdown before they hand over",
    )
    routes: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="type=queue by comma, where a type shall not go to its own",
    )
    state_ttl: int = Field(
        86_400, ge=60, description="seconds that ended tasks stay in Redis once history has them"
    )
    history_days: int = Field(
        0, ge=0, description="days that ended tasks stay in the history; 0: for good"
    )
    consumer_timeout: float = Field(
        1800.0,
        gt=1,
        allow_inf_nan=False,
        description="RabbitMQ's own consumer_timeout, in seconds: the message of a longer task is "
        "renewed in time",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log lines to write"
    )
    log_format: Literal["auto", "pretty", "json"] = Field(
        "auto", description="auto: pretty on a terminal, JSON otherwise"
    )

    @field_validator(
        "api_keys", "allowed_hosts", "cors_origins", "fetch_allow", "worker_queues", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("routes", mode="before")
    @classmethod
    def _routes(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.strip() for part in value.split(",") if part.strip()]
        if bad := [pair for pair in pairs if pair.count("=") != 1]:
            raise ValueError(f"{bad[0]!r} is not of the form type=queue")
        split = (pair.split("=") for pair in pairs)
        return {key.strip(): rules.queue(queue.strip()) for key, queue in split}

    @model_validator(mode="after")
    def _history_outlasts_redis(self) -> Self:
        if self.history_days and self.history_days * 86_400 < self.state_ttl:
            raise ValueError(
                f"STEPLINE_HISTORY_DAYS={self.history_days} is less than "
                f"STEPLINE_STATE_TTL={self.state_ttl} seconds: the history must keep a task at "
                "least as long as Redis does"
            )
        return self

    @model_validator(mode="after")
    def _production(self) -> Self:
        if self.env != "production":
            return self
        for name in sorted(self.embedded_parts):
            raise ValueError(f"STEPLINE_ENV=production needs a real service: set STEPLINE_{name}")
        if not self.api_keys:
            raise ValueError("STEPLINE_ENV=production needs STEPLINE_API_KEYS")
        for url in (self.broker_url, self.database_url):
            if (urlsplit(url).username, urlsplit(url).password) in DEFAULT_CREDENTIALS:
                raise ValueError(
                    "STEPLINE_ENV=production refuses default credentials in "
                    f"{redact(url)}: make a user of its own"
                )
        return self

    @property
    def embedded_parts(self) -> set[str]:
        """The settings whose embedded default is in use, without their prefix."""
        parts = set()
        if self.broker_url.startswith("memory:"):
            parts.add("BROKER_URL")
        if self.redis_url.startswith("fake:"):
            parts.add("REDIS_URL")
        if self.resolved_database_url.startswith("sqlite"):
            parts.add("DATABASE_URL")
        if not self.smtp_url:
            parts.add("SMTP_URL")
        return parts

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir.resolve()}/stepline.db"

    @property
    def resolved_exports_url(self) -> str:
        return self.exports_url or (self.data_dir.resolve() / "exports").as_uri()

    @property
    def resolved_api_url(self) -> str:
        if self.api_url:
            return self.api_url.rstrip("/")
        host = f"[{self.api_host}]" if ":" in self.api_host else self.api_host
        return f"http://{host}:{self.api_port}"

    @property
    def demonstrations(self) -> bool:
        return self.env != "production"

    @property
    def fetchable(self) -> tuple[str, ...]:
        """host:port of the private addresses that fetching may reach: those named, and the API's
        own for the demonstrations."""
        if not self.demonstrations:
            return self.fetch_allow
        own = urlsplit(self.resolved_api_url)
        port = own.port or (443 if own.scheme == "https" else 80)
        host = f"[{own.hostname}]" if ":" in (own.hostname or "") else own.hostname
        return (*self.fetch_allow, f"{host}:{port}")

    @property
    def resolved_cron_redis_url(self) -> str:
        return self.cron_redis_url or self.redis_url

    @property
    def slice_after(self) -> float:
        """Seconds after which a running task's message is renewed."""
        return self.consumer_timeout / 3

    @property
    def outbox_dir(self) -> Path:
        return self.data_dir / "outbox"

    @property
    def prefetch(self) -> int:
        return self.worker_prefetch or self.worker_concurrency

    def require_safe_address(self) -> None:
        """Refuse to serve other machines without asking for keys."""
        if not self.api_keys and self.api_host not in LOOPBACK:
            raise SettingsError(
                f"STEPLINE_API_HOST={self.api_host} serves other machines, but nobody would be "
                "asked for a key: make one with `./task key -- NAME` and set STEPLINE_API_KEYS, or "
                "bind to 127.0.0.1"
            )

    @property
    def served_hosts(self) -> tuple[str, ...]:
        """Host headers to admit (without ports); `*` is any."""
        if self.allowed_hosts:
            return self.allowed_hosts
        if self.api_keys:
            return ("*",)
        return (*LOOPBACK, urlsplit(self.resolved_api_url).hostname or "localhost")

    def require_single(self, process: str) -> None:
        """Refuse what only processes of their own can do."""
        if self.worker_processes > 1 or self.worker_max_tasks:
            raise SettingsError(
                f"STEPLINE_WORKER_PROCESSES and STEPLINE_WORKER_MAX_TASKS are for `./task worker`: "
                f"`{process}` is one process, and its worker stays. Unset them here, or run the "
                "processes apart (see `./task services`)"
            )

    def require_shared(self, process: str) -> None:
        """Refuse to run `process` on its own with parts that live inside one process only."""
        private = {"BROKER_URL", "REDIS_URL"} & self.embedded_parts
        if private:
            names = " and ".join(f"STEPLINE_{name}" for name in sorted(private))
            names += " is" if len(private) == 1 else " are"
            raise SettingsError(
                f"`{process}` as a process of its own needs services that other processes can "
                f"reach, but {names} embedded. Run `./task services` and export what it "
                "prints, or run everything in one process with `./task dev`."
            )


def make_folder(folder: Path, setting: str) -> None:
    """Raises `SettingsError` where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"cannot make the folder {folder} ({error.strerror}): set {setting} to one that this "
            "process may write to"
        ) from error


LOOPBACK = ("127.0.0.1", "localhost", "::1")

DEFAULT_CREDENTIALS = {
    ("guest", "guest"),
    ("root", ""),
    ("root", None),
    ("admin", "admin123"),
    (None, None),  # RabbitMQ's client fills in guest, MySQL's whoever runs this
}


def redact(url: str) -> str:
    """The URL without its password, fit for a log; also where the password is written wrongly, with
    a / or an @ in it."""
    head, separator, tail = url.partition("://")
    credentials, at, rest = tail.rpartition("@")
    if not separator or not at:
        return url
    return f"{head}://{credentials.partition(':')[0]}:***@{rest}"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; raises `SettingsError` in words that say what to mend."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    _refuse_unknown(os.environ)
    return settings


KNOWN_ELSEWHERE = {
    "STEPLINE_REQUIRE_SERVICES",
    "STEPLINE_FAULTS",
    "STEPLINE_CLIENT_KEY",
    "STEPLINE_API_KEY",
    "STEPLINE_URL",
    "STEPLINE_HOME",
    "STEPLINE_PYTHON",
}
"""Read by the tests, by `./task smoke`, by the SDK's command and its test fixture, by the
dashboard, and by `./task` itself."""


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {f"STEPLINE_{name.upper()}" for name in Settings.model_fields} | KNOWN_ELSEWHERE
    unknown = sorted(
        name for name in environment if name.startswith("STEPLINE_") and name not in known
    )
    if unknown:
        raise SettingsError(
            f"unknown setting {', '.join(unknown)}; every setting is named in .env.example"
        )


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"][:1])
        message = item["msg"].removeprefix("Value error, ")
        lines.append(f"STEPLINE_{name.upper()}: {message}" if name else message)
    return "; ".join(lines)


def process_name(kind: str) -> str:
    """`kind@host:pid`, unique among living processes."""
    return f"{kind}@{socket.gethostname()}:{os.getpid()}"
