"""alembic's entry: migrates over the connection that `schema` hands in."""

from alembic import context
from sqlmodel import SQLModel

import infra.history.models  # noqa: F401  (fills the metadata)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
