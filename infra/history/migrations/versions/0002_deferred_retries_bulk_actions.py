"""deferred tasks, deadlines, retries from a step; resolved dead letters; bulk actions"""

import sqlalchemy as sa
from alembic import op

from infra.history import models as types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    when = types.UTCDateTime()
    for column in ("run_at", "due_at", "deadline"):
        op.add_column("tasks", sa.Column(column, when))
    op.add_column(
        "tasks", sa.Column("from_step", sa.Integer, nullable=False, server_default="0")
    )
    op.create_index("ix_tasks_due", "tasks", ["due_at", "id"])
    op.create_index("ix_tasks_retry_of", "tasks", ["retry_of"])
    op.create_index("ix_tasks_waiting", "tasks", ["unfinished", "queue", "id"])
    op.drop_index("ix_tasks_unfinished", "tasks")
    op.add_column("dead_letters", sa.Column("open", sa.Integer))
    op.add_column("dead_letters", sa.Column("resolution", types.WORD))
    op.add_column("dead_letters", sa.Column("resolved_at", when))
    op.add_column("dead_letters", sa.Column("resolved_by", types.NAME))
    op.add_column("dead_letters", sa.Column("replayed_as", types.TASK_ID))
    op.execute("UPDATE dead_letters SET open = 1")
    op.create_index("ix_dead_letters_open", "dead_letters", ["open", "died_at", "id"])
    op.create_table(
        "bulk_actions",
        sa.Column("id", types.TASK_ID, primary_key=True),
        sa.Column("action", types.WORD, nullable=False),
        sa.Column("filter", types.JSON_TEXT, nullable=False),
        sa.Column("state", types.WORD, nullable=False),
        sa.Column("position", types.NAME),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("created_by", types.NAME, nullable=False),
        sa.Column("created_at", when, nullable=False),
        sa.Column("updated_at", when, nullable=False),
        sa.Column("error", types.JSON_TEXT),
        **types.MYSQL,
    )
    op.create_index("ix_bulk_actions_state", "bulk_actions", ["state", "id"])


def downgrade() -> None:
    op.drop_table("bulk_actions")
    op.drop_index("ix_dead_letters_open", "dead_letters")
    for column in ("replayed_as", "resolved_by", "resolved_at", "resolution", "open"):
        op.drop_column("dead_letters", column)
    op.create_index("ix_tasks_unfinished", "tasks", ["unfinished", "id"])
    for index in ("ix_tasks_waiting", "ix_tasks_retry_of", "ix_tasks_due"):
        op.drop_index(index, "tasks")
    for column in ("from_step", "deadline", "due_at", "run_at"):
        op.drop_column("tasks", column)
