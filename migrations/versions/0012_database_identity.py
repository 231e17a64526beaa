"""The database has an id of its own, so that a storage can say whose files lie in it."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"

STATEMENTS = (
    (
        "CREATE TABLE database_identity (one BOOLEAN DEFAULT true NOT NULL CONSTRAINT database_identity_one_check"
        " CHECK (one), id UUID DEFAULT gen_random_uuid() NOT NULL, CONSTRAINT database_identity_pkey PRIMARY KEY (one))"
    ),
    "INSERT INTO database_identity DEFAULT VALUES",
)


def upgrade() -> None:
    """Make the table and its one row."""
    for statement in STATEMENTS:
        op.execute(statement)
