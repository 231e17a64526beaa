"""Authorization checks: what is remembered of empty answers and of a host's last call, and when the two ticks are due."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    # how many empty answers in a row came since empty_since
    "ALTER TABLE invoices ADD COLUMN empty_count INTEGER DEFAULT 0 NOT NULL",
    # since when the document needs attention; it is asked about for 30 days from then
    "ALTER TABLE invoices ADD COLUMN attention_since TIMESTAMP WITH TIME ZONE",
    # the short code of the last verdict, for lists
    "ALTER TABLE invoices ADD COLUMN status_reason TEXT",
    # the instant of the last refusal by the SRI, and the submission that it was about: a corrected document is sent
    # again under the same key, and until the SRI has looked at it the old refusal may still be shown
    "ALTER TABLE invoices ADD COLUMN refused_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE invoices ADD COLUMN refused_submission TIMESTAMP WITH TIME ZONE",
    # the next run keeps the distance to the last call of the one before
    "ALTER TABLE sri_hosts ADD COLUMN last_start_at TIMESTAMP WITH TIME ZONE",
    "CREATE INDEX sri_events_at_idx ON sri_events (at)",
    """
    CREATE FUNCTION jobsync_switch(wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT coalesce((SELECT lower(btrim(value)) IN ('true', '1', 'on', 'yes') FROM system_settings
                         WHERE key = wanted), true)
    $$
    """,
    """
    CREATE FUNCTION jobsync_seconds(wanted text, usual integer) RETURNS interval LANGUAGE sql STABLE AS $$
        SELECT make_interval(secs => coalesce((
            SELECT CASE WHEN btrim(value) ~ '^[0-9]{1,5}$' AND btrim(value)::integer BETWEEN 1 AND 86400
                        THEN btrim(value)::integer END
            FROM system_settings WHERE key = wanted), usual))
    $$
    """,
    """
    CREATE FUNCTION jobsync_rested(wanted text, pause interval) RETURNS boolean LANGUAGE sql STABLE AS $$
        -- timers have some play: a sixth of the pause, at most 5 s, is forgiven
        SELECT NOT EXISTS (
            SELECT 1 FROM job_runs WHERE job = wanted AND trigger <> 'manual'
            AND started_at > now() - pause + least(pause / 6, interval '5 seconds') AND started_at <= now())
    $$
    """,
    """
    CREATE OR REPLACE FUNCTION jobsync_tick(job text) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        wanted_cron text;
        wanted_zone text;
    BEGIN
        INSERT INTO jobs (name, last_tick_at) VALUES (job, now())
        ON CONFLICT (name) DO UPDATE SET last_tick_at = excluded.last_tick_at;
        IF job = 'check-authorizations' THEN
            RETURN jobsync_switch('sri_check_enabled')
               AND jobsync_rested(job, jobsync_seconds('sri_check_interval_s', 30))
               AND EXISTS (
                   SELECT 1 FROM invoices i JOIN tenants t ON t.id = i.tenant_id
                   WHERE i.status IN ('pending_authorization', 'needs_attention') AND i.next_check_at <= now()
                     AND i.deleted_at IS NULL AND t.is_active
                     AND (t.paused_until IS NULL OR t.paused_until <= now()));
        ELSIF job = 'generate-ride' THEN
            RETURN jobsync_switch('ride_enabled')
               AND jobsync_rested(job, jobsync_seconds('ride_interval_s', 60))
               AND EXISTS (
                   SELECT 1 FROM invoices i JOIN tenants t ON t.id = i.tenant_id
                   WHERE i.status = 'authorized' AND i.ride_generated_at IS NULL AND i.ride_next_at <= now()
                     AND i.deleted_at IS NULL AND t.is_active
                     AND (t.paused_until IS NULL OR t.paused_until <= now()));
        ELSIF job <> 'stock-sync' THEN
            RETURN true;
        END IF;
        IF NOT jobsync_switch('easycar_sync_enabled') THEN
            RETURN false;
        END IF;
        wanted_cron := coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_cron'), '0 2 * * *');
        wanted_zone := coalesce((SELECT value FROM system_settings WHERE key = 'easycar_sync_timezone'), 'UTC');
        RETURN EXISTS (
            SELECT 1
            FROM easycar_credentials c
            JOIN dealerships d ON d.id = c.dealership_id
            LEFT JOIN dealership_settings s ON s.dealership_id = d.id
            LEFT JOIN sync_schedule h ON h.dealership_id = d.id
            WHERE c.is_active
              AND coalesce(s.easycar_auto_sync_enabled, true)
              AND (s.paused_until IS NULL OR s.paused_until <= now())
              AND (h.next_at IS NULL OR h.next_at <= now() OR h.retry_at <= now()
                   OR h.seen IS DISTINCT FROM coalesce(nullif(btrim(s.sync_cron), ''), wanted_cron)
                      || ' @ ' || coalesce(nullif(btrim(d.timezone), ''), wanted_zone)));
    END
    $$
    """,
)


def upgrade() -> None:
    """Add the columns and the functions."""
    for statement in STATEMENTS:
        op.execute(statement)
