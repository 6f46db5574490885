"""activity over time, failures by their cause, tasks by their worker"""

import sqlalchemy as sa
from alembic import op

from infra.history import models as types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    when = types.UTCDateTime()
    op.create_index("ix_tasks_worker", "tasks", ["worker", "id"])
    op.create_table(
        "activity",
        sa.Column("span", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("type", types.WORD, primary_key=True),
        sa.Column("queue", types.WORD, primary_key=True),
        sa.Column("outcome", types.OUTCOME, primary_key=True),
        sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        **types.MYSQL,
    )
    op.create_table(
        "failures",
        sa.Column("fingerprint", types.FINGERPRINT, primary_key=True),
        sa.Column("type", types.WORD, nullable=False),
        sa.Column("handler", types.NAME),
        sa.Column("code", types.WORD, nullable=False),
        sa.Column("message", types.JSON_TEXT, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_seen", when, nullable=False),
        sa.Column("last_seen", when, nullable=False),
        sa.Column("sample_task_id", types.TASK_ID, nullable=False),
        sa.Column("resolved_by", types.NAME),
        sa.Column("resolved_at", when),
        **types.MYSQL,
    )
    op.create_index("ix_failures_last_seen", "failures", ["last_seen"])
    op.create_table(
        "failed_tasks",
        sa.Column("task_id", types.TASK_ID, primary_key=True),
        sa.Column("fingerprint", types.FINGERPRINT, nullable=False),
        **types.MYSQL,
    )
    op.create_index("ix_failed_tasks_fingerprint", "failed_tasks", ["fingerprint", "task_id"])


def downgrade() -> None:
    for table in ("failed_tasks", "failures", "activity"):
        op.drop_table(table)
    op.drop_index("ix_tasks_worker", "tasks")
