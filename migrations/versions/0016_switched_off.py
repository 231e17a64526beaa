"""A tick whose work is due while its job is switched off goes on to say so, once a slot or an hour."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"

STATEMENTS = (
    "ALTER TABLE jobs ADD COLUMN disabled_said_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE jobs ADD COLUMN disabled_quiet_until TIMESTAMP WITH TIME ZONE",
    # jobsync_hidden(), which knows every table of this version, is made anew after each upgrade
    """
    CREATE OR REPLACE FUNCTION jobsync_tick(job text) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        said timestamptz;  -- when it was last said that the job is switched off
        quiet boolean;  -- it need not be said again yet
    BEGIN
        IF EXISTS (SELECT FROM pg_class c WHERE c.relrowsecurity AND row_security_active(c.oid)) THEN  -- hardly ever
            IF EXISTS (SELECT FROM jobsync_hidden()) THEN
                RETURN true;  -- what the role may not see would count as absent: the ordinary way says so
            END IF;
        END IF;
        INSERT INTO jobs (name, last_tick_at) VALUES (job, now())
        ON CONFLICT (name) DO UPDATE SET last_tick_at = excluded.last_tick_at
        RETURNING disabled_said_at, coalesce(disabled_quiet_until > now(), false) INTO said, quiet;
        IF job = 'check-authorizations' THEN
            RETURN (jobsync_switch('sri_check_enabled') OR NOT quiet)
               AND jobsync_rested(job, jobsync_seconds('sri_check_interval_s', 30))
               AND EXISTS (SELECT FROM due_documents);
        ELSIF job = 'generate-ride' THEN
            RETURN (jobsync_switch('ride_enabled') OR NOT quiet)
               AND jobsync_rested(job, jobsync_seconds('ride_interval_s', 60))
               AND EXISTS (SELECT FROM due_rides);
        ELSIF job = 'stock-sync' THEN
            IF quiet AND NOT jobsync_switch('easycar_sync_enabled') THEN
                RETURN EXISTS (SELECT FROM due_dealerships WHERE why = 'slot' AND due_since > said);  -- another slot
            END IF;
            RETURN EXISTS (SELECT FROM due_dealerships);
        END IF;
        RETURN true;
    END
    $$
    """,
)


def upgrade() -> None:
    """Add the memory, and replace the tick."""
    for statement in STATEMENTS:
        op.execute(statement)
