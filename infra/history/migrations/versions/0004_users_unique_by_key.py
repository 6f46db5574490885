"""users are unique by a key of their own: SQLite and MySQL differ in what is the same letter"""

import sqlalchemy as sa
from alembic import op

from infra.history import models as types
from infra.history.users import key_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NAMES = ("username", "email")


def upgrade() -> None:
    for name in NAMES:
        op.add_column(
            "users", sa.Column(f"{name}_key", types.DIGEST, nullable=False, server_default="")
        )
    fill()
    for name in NAMES:
        op.create_index(f"uq_users_{name}_key", "users", [f"{name}_key"], unique=True)
        op.drop_index(f"uq_users_{name}", "users")


def fill() -> None:
    """The key of each user. Of two that have been let in under one, the later keeps its row, under
    a key that nobody else can have."""
    users = sa.table("users", *(sa.column(name) for name in ("id", *NAMES)))
    keyed = sa.table("users", *(sa.column(name) for name in ("id", "username_key", "email_key")))
    connection = op.get_bind()
    taken: set[str] = set()
    for row in connection.execute(sa.select(users).order_by(users.c.id)).mappings().all():
        values = {}
        for name in NAMES:
            key = key_of(row[name])
            if f"{name} {key}" in taken:
                key = key_of(f"{row[name]} {row['id']}")
            taken.add(f"{name} {key}")
            values[f"{name}_key"] = key
        connection.execute(sa.update(keyed).where(keyed.c.id == row["id"]).values(**values))


def downgrade() -> None:
    for name in NAMES:
        op.create_index(f"uq_users_{name}", "users", [name], unique=True)
        op.drop_index(f"uq_users_{name}_key", "users")
        op.drop_column("users", f"{name}_key")
