"""tasks, attempts, dead letters, users (with those of the demonstrations)"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from infra.history import models as types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

USERS = (
    (1, "alice", "alice@example.com"),
    (2, "bob", "bob@example.com"),
    (3, "carol", "carol@example.com"),
    (101, "li.wei", "li.wei@example.com"),
    (102, "wang.fang", "wang.fang@example.com"),
    (103, "zhang.min", "zhang.min@example.com"),
    (104, "dieter", "dieter@example.com"),
    (105, "erika", "erika@example.com"),
)


def upgrade() -> None:
    when = types.UTCDateTime()
    op.create_table(
        "tasks",
        sa.Column("id", types.TASK_ID, primary_key=True),
        sa.Column("type", types.WORD, nullable=False),
        sa.Column("queue", types.WORD, nullable=False),
        sa.Column("name", types.NAME),
        sa.Column("status", types.WORD, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("unfinished", sa.Integer),
        sa.Column("created_at", when, nullable=False),
        sa.Column("updated_at", when, nullable=False),
        sa.Column("started_at", when),
        sa.Column("finished_at", when),
        sa.Column("worker", types.NAME),
        sa.Column("handlers", types.JSON_TEXT, nullable=False),
        sa.Column("payload", types.JSON_TEXT),
        sa.Column("result", types.JSON_TEXT),
        sa.Column("error", types.JSON_TEXT),
        sa.Column("retry_of", types.TASK_ID),
        sa.Column("idempotency_key", types.NAME),
        **types.MYSQL,
    )
    for column in ("status", "type", "queue", "name", "unfinished"):
        op.create_index(f"ix_tasks_{column}", "tasks", [column, "id"])
    op.create_index("ix_tasks_idempotency_key", "tasks", ["idempotency_key"])
    op.create_table(
        "attempts",
        sa.Column("task_id", types.TASK_ID, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("worker", types.NAME, nullable=False),
        sa.Column("started_at", when),
        sa.Column("finished_at", when),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("events", types.JSON_TEXT, nullable=False),
        sa.Column("outputs", types.JSON_TEXT, nullable=False),
        sa.Column("error", types.JSON_TEXT),
        **types.MYSQL,
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", types.TASK_ID, primary_key=True),
        sa.Column("reason", types.WORD, nullable=False),
        sa.Column("queue", types.WORD, nullable=False),
        sa.Column("task_id", types.NAME),
        sa.Column("task_type", types.WORD),
        sa.Column("died_at", when, nullable=False),
        sa.Column("body", types.BYTES, nullable=False),
        sa.Column("error", types.JSON_TEXT),
        **types.MYSQL,
    )
    op.create_index("ix_dead_letters_died_at", "dead_letters", ["died_at", "id"])
    users = op.create_table(
        "users",
        sa.Column("id", types.ROW_ID, primary_key=True),
        sa.Column("username", types.PERSON, nullable=False),
        sa.Column("email", types.PERSON, nullable=False),
        sa.Column("created_at", when, nullable=False),
        sqlite_autoincrement=True,
        **types.MYSQL,
    )
    op.create_index("uq_users_username", "users", ["username"], unique=True)
    op.create_index("uq_users_email", "users", ["email"], unique=True)
    created = datetime.now(UTC)
    op.bulk_insert(
        users,
        [
            {"id": user_id, "username": name, "email": email, "created_at": created}
            for user_id, name, email in USERS
        ],
    )


def downgrade() -> None:
    for table in ("users", "dead_letters", "attempts", "tasks"):
        op.drop_table(table)
