"""The tables. Rows, not wire models: what goes in and out is in `base`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Index, Integer, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import DateTime as SQLDateTime
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import Field, SQLModel


class UTCDateTime(TypeDecorator[datetime]):
    """Aware datetimes in and out; UTC with microseconds in the table, whatever the database."""

    impl = SQLDateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(SQLDateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


TASK_ID = String(36).with_variant(mysql.CHAR(36, charset="ascii", collation="ascii_bin"), "mysql")
WORD = String(100).with_variant(mysql.VARCHAR(100, charset="ascii", collation="ascii_bin"), "mysql")
OUTCOME = String(20).with_variant(
    mysql.VARCHAR(20, charset="ascii", collation="ascii_bin"), "mysql"
)
FINGERPRINT = String(16).with_variant(
    mysql.CHAR(16, charset="ascii", collation="ascii_bin"), "mysql"
)
JSON_TEXT = Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
"""JSON as text: encoded and decoded by this service, never read by the database."""
BYTES = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
NAME = String(200).with_variant(
    mysql.VARCHAR(200, charset="utf8mb4", collation="utf8mb4_bin"), "mysql"
)
PERSON = String(254, collation="NOCASE").with_variant(
    mysql.VARCHAR(254, charset="utf8mb4", collation="utf8mb4_general_ci"), "mysql"
)
DIGEST = String(64).with_variant(mysql.CHAR(64, charset="ascii", collation="ascii_bin"), "mysql")
"""SHA-256, in hex digits."""
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}


class TaskRow(SQLModel, table=True):
    """One row a task: request, status, result, times, links. Ids are time-ordered, so each index
    that ends in the id also sorts by age."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_status", "status", "id"),
        Index("ix_tasks_type", "type", "id"),
        Index("ix_tasks_queue", "queue", "id"),
        Index("ix_tasks_name", "name", "id"),
        Index("ix_tasks_waiting", "unfinished", "queue", "id"),
        Index("ix_tasks_due", "due_at", "id"),
        Index("ix_tasks_retry_of", "retry_of"),
        Index("ix_tasks_worker", "worker", "id"),
        Index("ix_tasks_idempotency_key", "idempotency_key"),
        MYSQL,
    )

    id: str = Field(sa_column=Column(TASK_ID, primary_key=True))
    type: str = Field(sa_column=Column(WORD, nullable=False))
    queue: str = Field(sa_column=Column(WORD, nullable=False))
    name: str | None = Field(sa_column=Column(NAME, nullable=True))
    status: str = Field(sa_column=Column(WORD, nullable=False))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    attempt: int = Field(sa_column=Column(Integer, nullable=False))
    seq: int = Field(sa_column=Column(Integer, nullable=False))
    unfinished: int | None = Field(sa_column=Column(Integer, nullable=True))
    """1 while the task has not ended, else null: so the index stays as small as the backlog."""
    created_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    started_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    finished_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    run_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    due_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    """As `run_at`, while the task waits here for it, else null: its index is what waits."""
    deadline: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    worker: str | None = Field(sa_column=Column(NAME, nullable=True))
    handlers: str = Field(sa_column=Column(JSON_TEXT, nullable=False))
    payload: str | None = Field(sa_column=Column(JSON_TEXT, nullable=True))
    result: str | None = Field(sa_column=Column(JSON_TEXT, nullable=True))
    error: str | None = Field(sa_column=Column(JSON_TEXT, nullable=True))
    retry_of: str | None = Field(sa_column=Column(TASK_ID, nullable=True))
    from_step: int = Field(sa_column=Column(Integer, nullable=False, server_default="0"))
    idempotency_key: str | None = Field(sa_column=Column(NAME, nullable=True))


class AttemptRow(SQLModel, table=True):
    """One row for each claim of a task: its events and step outputs as one document."""

    __tablename__ = "attempts"
    __table_args__ = (MYSQL,)

    task_id: str = Field(sa_column=Column(TASK_ID, primary_key=True))
    attempt: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    worker: str = Field(sa_column=Column(NAME, nullable=False))
    started_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    finished_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    size: int = Field(sa_column=Column(Integer, nullable=False))
    """How many events the document has: the fuller one stays."""
    events: str = Field(sa_column=Column(JSON_TEXT, nullable=False))
    outputs: str = Field(sa_column=Column(JSON_TEXT, nullable=False))
    error: str | None = Field(sa_column=Column(JSON_TEXT, nullable=True))


class DeadLetterRow(SQLModel, table=True):
    """A message that nobody could work off."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        Index("ix_dead_letters_died_at", "died_at", "id"),
        Index("ix_dead_letters_open", "open", "died_at", "id"),
        MYSQL,
    )

    id: str = Field(sa_column=Column(TASK_ID, primary_key=True))
    reason: str = Field(sa_column=Column(WORD, nullable=False))
    queue: str = Field(sa_column=Column(WORD, nullable=False))
    task_id: str | None = Field(sa_column=Column(NAME, nullable=True))
    task_type: str | None = Field(sa_column=Column(WORD, nullable=True))
    died_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    body: bytes = Field(sa_column=Column(BYTES, nullable=False))
    error: str | None = Field(sa_column=Column(JSON_TEXT, nullable=True))
    open: int | None = Field(sa_column=Column(Integer, nullable=True))
    """1 until somebody has replayed or discarded it, else null."""
    resolution: str | None = Field(sa_column=Column(WORD, nullable=True))
    resolved_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))
    resolved_by: str | None = Field(sa_column=Column(NAME, nullable=True))
    replayed_as: str | None = Field(sa_column=Column(TASK_ID, nullable=True))


class BulkActionRow(SQLModel, table=True):
    """One action upon many tasks or dead letters, and how far it is."""

    __tablename__ = "bulk_actions"
    __table_args__ = (Index("ix_bulk_actions_state", "state", "id"), MYSQL)

    id: str = Field(sa_column=Column(TASK_ID, primary_key=True))
    action: str = Field(sa_column=Column(WORD, nullable=False))
    filter: str = Field(sa_column=Column(JSON_TEXT, nullable=False))
    state: str = Field(sa_column=Column(WORD, nullable=False))
    position: str | None = Field(sa_column=Column(NAME, nullable=True))
    """The last row that was acted upon: the next round goes on after it."""
    total: int = Field(sa_column=Column(Integer, nullable=False))
    done: int = Field(sa_column=Column(Integer, nullable=False))
    skipped: int = Field(sa_column=Column(Integer, nullable=False))
    failed: int = Field(sa_column=Column(Integer, nullable=False))
    created_by: str = Field(sa_column=Column(NAME, nullable=False))
    created_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    error: str | None = Field(sa_column=Column(JSON_TEXT, nullable=True))


class ActivityRow(SQLModel, table=True):
    """How many tasks had an outcome within a span of time; added to, never recounted. `at` is the
    span's beginning in epoch seconds, `bucket` of how long they took."""

    __tablename__ = "activity"
    __table_args__ = (MYSQL,)

    span: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    at: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    type: str = Field(sa_column=Column(WORD, primary_key=True))
    queue: str = Field(sa_column=Column(WORD, primary_key=True))
    outcome: str = Field(sa_column=Column(OUTCOME, primary_key=True))
    bucket: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    count: int = Field(sa_column=Column(BigInteger, nullable=False))


class FailureRow(SQLModel, table=True):
    """A group of failures with one cause."""

    __tablename__ = "failures"
    __table_args__ = (Index("ix_failures_last_seen", "last_seen"), MYSQL)

    fingerprint: str = Field(sa_column=Column(FINGERPRINT, primary_key=True))
    type: str = Field(sa_column=Column(WORD, nullable=False))
    handler: str | None = Field(sa_column=Column(NAME, nullable=True))
    code: str = Field(sa_column=Column(WORD, nullable=False))
    message: str = Field(sa_column=Column(JSON_TEXT, nullable=False))
    count: int = Field(sa_column=Column(BigInteger, nullable=False))
    first_seen: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    last_seen: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
    sample_task_id: str = Field(sa_column=Column(TASK_ID, nullable=False))
    resolved_by: str | None = Field(sa_column=Column(NAME, nullable=True))
    resolved_at: datetime | None = Field(sa_column=Column(UTCDateTime, nullable=True))


class FailedTaskRow(SQLModel, table=True):
    """Which group a failed task belongs to; apart from `tasks`, so that those that end well pay
    nothing for it."""

    __tablename__ = "failed_tasks"
    __table_args__ = (Index("ix_failed_tasks_fingerprint", "fingerprint", "task_id"), MYSQL)

    task_id: str = Field(sa_column=Column(TASK_ID, primary_key=True))
    fingerprint: str = Field(sa_column=Column(FINGERPRINT, nullable=False))


class UserRow(SQLModel, table=True):
    """A user; both names are unique whatever their case and spelling in Unicode. Databases differ
    in what they take for the same letter, so the keys say it: see `infra.history.users.key_of`."""

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_username_key", "username_key", unique=True),
        Index("uq_users_email_key", "email_key", unique=True),
        MYSQL | {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(ROW_ID, primary_key=True))
    username: str = Field(sa_column=Column(PERSON, nullable=False))
    email: str = Field(sa_column=Column(PERSON, nullable=False))
    username_key: str = Field(sa_column=Column(DIGEST, nullable=False))
    email_key: str = Field(sa_column=Column(DIGEST, nullable=False))
    created_at: datetime = Field(sa_column=Column(UTCDateTime, nullable=False))
