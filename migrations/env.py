"""Alembic's entry: runs on the connection and inside the transaction that jobsync.db.migrate hands over."""

from __future__ import annotations

from alembic import context

from jobsync.db.hidden import VERSION_TABLE
from jobsync.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
