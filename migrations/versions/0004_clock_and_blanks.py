"""What counts as blank in a setting is what the program counts as blank; a tick notices a clock that went back."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    r"""
    CREATE OR REPLACE FUNCTION jobsync_switch(wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT coalesce((SELECT lower(btrim(value, E' \t\n\r\f\v')) IN ('true', '1', 'on', 'yes') FROM system_settings
                         WHERE key = wanted), true)
    $$
    """,
    r"""
    CREATE OR REPLACE FUNCTION jobsync_seconds(wanted text, usual integer) RETURNS interval LANGUAGE sql STABLE AS $$
        SELECT make_interval(secs => coalesce((
            SELECT CASE WHEN word ~ '^[0-9]{1,5}$' AND word::integer BETWEEN 1 AND 86400 THEN word::integer END
            FROM (SELECT btrim(value, E' \t\n\r\f\v') AS word FROM system_settings WHERE key = wanted) AS s), usual))
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
                   -- the clock was ahead when this was computed
                   OR h.attempted_at > now()
                   OR h.seen IS DISTINCT FROM coalesce(nullif(btrim(s.sync_cron), ''), wanted_cron)
                      || ' @ ' || coalesce(nullif(btrim(d.timezone), ''), wanted_zone)));
    END
    $$
    """,
)


def upgrade() -> None:
    """Replace the functions."""
    for statement in STATEMENTS:
        op.execute(statement)
