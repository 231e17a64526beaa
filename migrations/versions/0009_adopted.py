"""What `jobsync adopt` has brought is remembered with its source, so that a second time changes only what changed there."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    """
    CREATE TABLE adopted (
        source TEXT NOT NULL,
        what TEXT NOT NULL,
        source_id TEXT NOT NULL,
        fingerprint BYTEA NOT NULL,
        adopted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT adopted_pkey PRIMARY KEY (source, what, source_id)
    )
    """,
)


def upgrade() -> None:
    """Add the table."""
    for statement in STATEMENTS:
        op.execute(statement)
