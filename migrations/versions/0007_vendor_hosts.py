"""One row a host of either vendor: what is remembered of the SRI's serves EasyCars too, and a host may wish to rest."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE sri_hosts RENAME TO vendor_hosts",
    # newer servers have a name for each NOT NULL, too
    r"""
    DO $$
    DECLARE
        old text;
    BEGIN
        FOR old IN SELECT conname FROM pg_constraint WHERE conrelid = 'vendor_hosts'::regclass
                   AND conname LIKE 'sri\_hosts\_%' LOOP
            EXECUTE format('ALTER TABLE vendor_hosts RENAME CONSTRAINT %I TO %I', old, 'vendor_' || substr(old, 5));
        END LOOP;
    END
    $$
    """,
    "ALTER TABLE vendor_hosts ADD COLUMN not_before TIMESTAMP WITH TIME ZONE",
    # of EasyCars, that lead there; empty for the SRI's
    "ALTER TABLE vendor_hosts ADD COLUMN environments TEXT[] NOT NULL DEFAULT '{}'",
    # A wish of more than an hour was written by a clock that was wrong.
    """
    CREATE FUNCTION jobsync_host_rests(wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT EXISTS (SELECT FROM vendor_hosts WHERE wanted = ANY(environments)
                       AND not_before > now() AND not_before <= now() + interval '1 hour')
    $$
    """,
)


def upgrade() -> None:
    """Rename the table, add the columns and the question."""
    for statement in STATEMENTS:
        op.execute(statement)
